"""What a container is asked to be (`ContainerSpec`) and what it is (`Container`, `Status`)."""

# No annotations as texts: msgspec compiles each when it first uses the class, 10 us a field.

import re
import stat
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct, field

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model import forms
from dockmagic_runtime.model.checked import Checked, trusted
from dockmagic_runtime.model.network import Attachment

_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"


class Status(StrEnum):
    """Docker's container states. What may be done in which is a table: `model.transitions`."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"

    @property
    def is_alive(self) -> bool:
        return self in (Status.RUNNING, Status.PAUSED, Status.RESTARTING)


class PortMapping(Checked, frozen=True, kw_only=True):
    """One `-p`: host address and port to container port. `host_port` 0 asks for a free one.

    With `host_port_end` it asks for the first from `host_port` to there that is free.
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0

    def __str__(self) -> str:
        """As `docker ps` shows it: `0.0.0.0:9999->80/tcp`."""
        host = self.host_ip or "0.0.0.0"
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{self.host_port}->{self.container_port}/{self.protocol}"


class Mount(Checked, frozen=True, kw_only=True):
    """One `-v`, `--mount` or `--tmpfs`.

    `source` is a host path (bind), a volume's name ("" for a new anonymous one), an image
    reference (image), or empty (tmpfs). `options` are those of a tmpfs; of the others, the words
    of `-v`'s third part, which `inspect` shows as the mode.
    """

    kind: str  # "bind" | "volume" | "tmpfs" | "image"
    target: str
    source: str = ""
    read_only: bool = False
    options: tuple[str, ...] = ()
    create_source: bool = False  # -v makes a missing host directory, --mount refuses
    propagation: str = "rprivate"
    recursive: bool = True
    submounts_read_only: bool = True  # with `read_only`: what is mounted below the source too
    copy_up: bool = True  # an empty volume is filled with what the image has there
    subpath: str = ""  # inside the volume or the image
    # of the volume, if it is made now
    driver: str = "local"
    driver_options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


class RestartPolicy(Checked, frozen=True, kw_only=True):
    """`--restart`: "no", "always", "unless-stopped", "on-failure". `maximum` 0 is no limit."""

    name: str = "no"
    maximum: int = 0


class HealthCheck(Checked, frozen=True, kw_only=True):
    """`--health-*` over the image's HEALTHCHECK. Seconds; `test` as in the image config:
    ("CMD", …), ("CMD-SHELL", line), ("NONE",), or empty: the image's."""

    test: tuple[str, ...] = ()
    interval: float = 0
    timeout: float = 0
    start_period: float = 0
    start_interval: float = 0
    retries: int = 0


class Device(Checked, frozen=True, kw_only=True):
    """`--device`: a device node of the host, under a path in the container."""

    source: str
    target: str
    permissions: str = "rwm"


class Resources(Checked, frozen=True, kw_only=True):
    """Limits; None or 0 means none. Bytes for memory, nanoseconds per second for CPU."""

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    blkio_weight_devices: tuple[tuple[str, int], ...] = ()
    # ("read_bps" | "write_bps" | "read_iops" | "write_iops", device path, rate per second)
    throttles: tuple[tuple[str, str, int], ...] = ()

    forms: ClassVar = {
        **dict.fromkeys(("memory", "memory_swap", "memory_reservation"), forms.size),
        "cpuset_cpus": forms.text,
        "cpuset_mems": forms.text,
    }


with trusted():
    _UNLIMITED, _NEVER = Resources(), RestartPolicy()


class ContainerSpec(Checked, frozen=True, kw_only=True):
    """Everything `create` needs. None means "the image decides"; an empty tuple means empty.

    Lists, and the forms in `forms`, are converted when a spec is created.

    Raises:
        InvalidInput: A field has a wrong type or an impossible value.
    """

    image: str
    name: str = ""
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    working_dir: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    tty: bool = False
    open_stdin: bool = False
    auto_remove: bool = False
    ports: tuple[PortMapping, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    network: str = "bridge"  # "bridge" | "host" | "none" | "container:NAME" | a network's name
    # every network with what is asked for there, the one above first; empty: that one, plainly
    attachments: tuple[Attachment, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # another container, and what it is called here
    extra_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    resources: Resources = _UNLIMITED
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    security_opt: tuple[str, ...] = ()
    read_only: bool = False
    ulimits: dict[str, tuple[int, int]] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    shm_size: int = 64 * 1024 * 1024
    stop_signal: str = ""
    stop_timeout: int | None = None
    pull: str = "missing"  # "always" | "missing" | "never"
    platform: str = ""
    init: bool = False
    restart: RestartPolicy = _NEVER
    health: HealthCheck | None = None
    devices: tuple[Device, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    pid_mode: str = ""  # "" | "host" | "container:NAME"
    ipc_mode: str = ""  # "" | "private" | "shareable" | "none" | "host" | "container:NAME"
    uts_mode: str = ""  # "" | "host"
    cgroupns_mode: str = "private"  # "private" | "host"
    userns_mode: str = ""  # "" | "host"
    oom_score_adj: int = 0
    log_driver: str = "json-file"  # "json-file" | "local" | "journald" | "syslog" | "none"
    log_options: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    detach_keys: str = "ctrl-p,ctrl-q"

    forms: ClassVar = {
        "command": forms.words,
        "entrypoint": forms.words,
        "env": forms.assignments,
        "labels": forms.mapping,
        "user": forms.text,
        "group_add": forms.texts,
        "ports": forms.ports,
        "expose": forms.texts,
        "mounts": forms.mounts,
        "links": forms.pairs,
        "extra_hosts": forms.hosts,
        "resources": forms.resources,
        "ulimits": forms.ulimits,
        "sysctls": forms.mapping,
        "shm_size": forms.size,
        "restart": forms.restart,
        "health": forms.health,
        "devices": forms.devices,
        "log_options": forms.mapping,
        "annotations": forms.mapping,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name and not re.fullmatch(_NAME, self.name):
            raise InvalidInput(
                f"Invalid container name ({self.name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                hint="it takes two characters at least" if len(self.name) == 1 else "",
            )
        if self.working_dir and not self.working_dir.startswith("/"):
            raise InvalidInput(
                f"the working directory '{self.working_dir}' is invalid, "
                "it needs to be an absolute path"
            )


class Container(Struct, frozen=True, kw_only=True):
    """One row of `ps`: identity, what it runs, and its state at the moment of asking.

    Times are seconds since the epoch, 0 when it never happened.
    """

    id: str
    name: str
    image: str
    image_id: str
    command: tuple[str, ...]
    created: float
    status: Status
    exit_code: int = 0
    started: float = 0
    finished: float = 0
    pid: int = 0
    ip_address: str = ""
    ports: tuple[PortMapping, ...] = ()
    exposed: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    oom_killed: bool = False
    health: str = ""  # "starting" | "healthy" | "unhealthy", of one that runs and is checked
    restart_count: int = 0
    error: str = ""
    damage: str = ""  # what was lost of it, when its files are damaged
    mounts: tuple[Mount, ...] = ()  # also the image's volumes and other containers'
    networks: tuple[str, ...] = ()  # their names; host, none and container:ID too
    links: tuple[str, ...] = ()  # further names of it, that others have: "other/alias"
    spec: ContainerSpec | None = None

    @property
    def short_id(self) -> str:
        return self.id[:12]


class ExecSpec(Checked, frozen=True, kw_only=True):
    """One `exec`: a command for a container that runs."""

    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    tty: bool = False
    open_stdin: bool = False
    privileged: bool = False

    forms: ClassVar = {"command": forms.words, "env": forms.assignments, "user": forms.text}


class ChangeKind(StrEnum):
    ADDED = "A"
    CHANGED = "C"
    DELETED = "D"


class Change(Struct, frozen=True, order=True):
    """One line of `diff`: `path` is absolute inside the container."""

    path: str
    kind: ChangeKind

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


class Stats(Struct, frozen=True, kw_only=True):
    """One sample of a running container. Bytes, nanoseconds of CPU, counts."""

    id: str
    name: str
    time: float
    cpu_ns: int
    cpu_percent: float
    memory_bytes: int
    memory_limit: int
    network_rx: int
    network_tx: int
    block_read: int
    block_write: int
    pids: int


class LogLine(Struct, frozen=True):
    """One piece of output as it was logged; `stream` is "stdout" or "stderr", time RFC 3339.

    `attributes` are those that the log options `labels`, `env` and `tag` ask for.
    """

    stream: str
    time: str
    text: bytes
    attributes: dict[str, str] = {}


class ProcessTable(Struct, frozen=True, kw_only=True):
    """What `top` shows: the headings of ps(1), and a row of texts for each process."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


class PathStat(Struct, frozen=True, kw_only=True):
    """What a path in a container is, links not followed. `link_target` is absolute in there.

    `name` is the last part of the path as it was asked for, "." when it ends in one.
    """

    name: str
    size: int
    mode: int  # as stat(2) has it
    mtime: float
    link_target: str = ""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def go_mode(self) -> int:
        """Go's os.FileMode, in which Docker's API has it."""
        kind = _GO_KINDS.get(stat.S_IFMT(self.mode), 0)
        special = sum(bit for mask, bit in _GO_SPECIAL.items() if self.mode & mask)
        return self.mode & 0o777 | kind | special


_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_SPECIAL = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
