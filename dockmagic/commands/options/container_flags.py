"""The flags that `run` and `create` share."""

from __future__ import annotations

from dockmagic.commands.options.flags import (  # fmt: skip
    HELP,
    Converter,
    Flag,
    integer,
    planned,
    switch,
    unsupported,
    value,
    values,
)
from dockmagic.commands.options.health import HEALTH_FLAGS
from dockmagic.commands.options.limits import LIMIT_FLAGS
from dockmagic.commands.options.namespaces import MODE_FLAGS, check_isolation
from dockmagic.commands.options.platform import IMAGE_FLAGS
from dockmagic.commands.options.restart_policy import RESTART_FLAG
from dockmagic.commands.units import parse_size
from dockmagic_runtime.errors import InvalidInput

# imported for a line that has the flag
check_gpus = Converter("dockmagic.commands.options.devices", "check_gpus")
parse_device_rule = Converter("dockmagic.commands.options.devices", "parse_device_rule")
parse_address = Converter("dockmagic.commands.options.dns", "parse_address")
parse_domain = Converter("dockmagic.commands.options.dns", "parse_domain")
parse_host = Converter("dockmagic.commands.options.dns", "parse_host")
check_env = Converter("dockmagic.commands.options.environment", "check_env")
check_label = Converter("dockmagic.commands.options.environment", "check_label")
parse_sysctl = Converter("dockmagic.commands.options.kernel", "parse_sysctl")
parse_ulimit = Converter("dockmagic.commands.options.kernel", "parse_ulimit")
parse_mount = Converter("dockmagic.commands.options.mounts", "parse_mount")
parse_network = Converter("dockmagic.commands.options.network", "parse_network")
parse_ipv4 = Converter("dockmagic_runtime.options.networks", "parse_ipv4")
parse_ipv6 = Converter("dockmagic_runtime.options.networks", "parse_ipv6")
parse_link = Converter("dockmagic_runtime.options.networks", "parse_link")
parse_link_local = Converter("dockmagic_runtime.options.networks", "parse_link_local")
parse_mac = Converter("dockmagic_runtime.options.networks", "parse_mac")

_RUNTIMES = ("", "runc", "io.containerd.runc.v2")


def parse_stream(text: str) -> str:
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def check_runtime(text: str) -> None:
    """Accepts the names of the runtime that containers have in Docker by default."""
    if text not in _RUNTIMES:
        raise InvalidInput(
            f"unknown or invalid runtime name: {text}", hint="leave --runtime out, or name runc"
        )


def check_storage_option(text: str) -> str:
    if "=" not in text:
        raise InvalidInput("invalid storage option")
    return text


_IDENTITY: tuple[Flag, ...] = (
    value("name", help="Assign a name to the container"),
    values("label", "l", "Set meta data on a container", convert=check_label),
    values("label-file", help="Read in a line delimited file of labels"),
    values("env", "e", "Set environment variables", convert=check_env),
    values("env-file", help="Read in a file of environment variables"),
    value("workdir", "w", "Working directory inside the container"),
    value("user", "u", "Username or UID (format: <name|uid>[:<group|gid>])"),
    values("group-add", help="Add additional groups to join"),
    value("hostname", "h", "Container host name"),
    value("domainname", help="Container NIS domain name"),
    value("entrypoint", help="Overwrite the default ENTRYPOINT of the image"),
    switch("interactive", "i", "Keep STDIN open even if not attached"),
    switch("tty", "t", "Allocate a pseudo-TTY"),
    value("stop-signal", help="Signal to stop the container"),
    integer("stop-timeout", help="Timeout (in seconds) to stop a container"),
    value(
        "pull", help='Pull image before running ("always", "missing", "never")', default="missing"
    ),
    switch("quiet", "q", "Suppress the pull output"),
    value("cidfile", help="Write the container ID to the file"),
)
_NETWORK: tuple[Flag, ...] = (
    values("publish", "p", "Publish a container's port(s) to the host"),
    switch("publish-all", "P", "Publish all exposed ports to random ports"),
    values("expose", help="Expose a port or a range of ports"),
    values(
        "network",
        help="Connect a container to a network",
        type="network",
        convert=parse_network,
    ),
    values("net", type="network", convert=parse_network, hidden=True),
    values("network-alias", help="Add network-scoped alias for the container"),
    values("net-alias", hidden=True),
    value("ip", help="IPv4 address (e.g., 172.30.100.104)", convert=parse_ipv4),
    value("ip6", help="IPv6 address (e.g., 2001:db8::33)", convert=parse_ipv6),
    values(
        "link-local-ip",
        help="Container IPv4/IPv6 link-local addresses",
        convert=parse_link_local,
    ),
    value("mac-address", help="Container MAC address (e.g., 92:d0:c6:0a:29:33)", convert=parse_mac),
    values("link", help="Add link to another container", convert=parse_link),
    values("add-host", help="Add a custom host-to-IP mapping (host:ip)", convert=parse_host),
    values("dns", help="Set custom DNS servers", convert=parse_address),
    values("dns-search", help="Set custom DNS search domains", convert=parse_domain),
    values("dns-option", help="Set DNS options"),
    values("dns-opt", hidden=True),
)
_STORAGE: tuple[Flag, ...] = (
    values("volume", "v", "Bind mount a volume"),
    values(
        "mount",
        help="Attach a filesystem mount to the container",
        type="mount",
        convert=parse_mount,
    ),
    values("tmpfs", help="Mount a tmpfs directory"),
    value("volume-driver", help="Optional volume driver for the container"),
    values("volumes-from", help="Mount volumes from the specified container(s)"),
    switch("read-only", help="Mount the container's root filesystem as read only"),
    value(
        "shm-size",
        help="Size of /dev/shm",
        type="bytes",
        default=64 << 20,
        default_text="",
        convert=parse_size,
    ),
)
_LIMITS: tuple[Flag, ...] = (
    *LIMIT_FLAGS,
    integer("oom-score-adj", help="Tune host's OOM preferences (-1000 to 1000)"),
    values("ulimit", help="Ulimit options", type="ulimit", convert=parse_ulimit, default_text="[]"),
    value("cgroup-parent", help="Optional parent cgroup for the container"),
    values("device", help="Add a host device to the container"),
    values(
        "device-cgroup-rule",
        help="Add a rule to the cgroup allowed devices list",
        convert=parse_device_rule,
    ),
)
_SECURITY: tuple[Flag, ...] = (
    values("cap-add", help="Add Linux capabilities"),
    values("cap-drop", help="Drop Linux capabilities"),
    switch("privileged", help="Give extended privileges to this container"),
    values("security-opt", help="Security Options"),
    values(
        "sysctl",
        help="Sysctl options",
        type="map",
        convert=parse_sysctl,
        default_text="map[]",
    ),
)
_LIFECYCLE: tuple[Flag, ...] = (
    RESTART_FLAG,
    switch(
        "init", help="Run an init inside the container that forwards signals and reaps processes"
    ),
    *HEALTH_FLAGS,
    value("log-driver", help="Logging driver for the container"),
    values("log-opt", help="Log driver options"),
    values(
        "annotation",
        help="Add an annotation to the container (passed through to the OCI runtime)",
        type="map",
        default_text="map[]",
    ),
    *IMAGE_FLAGS,
    # Of `create` it has no effect, as with Docker: `start` says itself what it attaches to.
    values("attach", "a", "Attach to STDIN, STDOUT or STDERR", convert=parse_stream),
)
_PLANNED = planned(
    "use-api-socket",
)  # fmt: skip
_UNSUPPORTED = (
    *unsupported(
        'could not select device driver "" with capabilities: [[gpu]] '
        "(GPUs are not available here)",
        "gpus=gpu-request",
        convert=check_gpus,
    ),
    *unsupported(
        "this is for Windows, and containers here are Linux's",
        "cpu-count=int", "cpu-percent=int", "io-maxbandwidth=bytes", "io-maxiops=uint",
    ),
    *unsupported("this is for Windows", "isolation=string", convert=check_isolation),
    *unsupported(
        "Linux has no limit of its own for the kernel's memory any more (--memory counts it too)",
        "kernel-memory=bytes",
        convert=parse_size,
    ),
    *unsupported("dockmagic is its own runtime", "runtime=string", convert=check_runtime),
    *unsupported(
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option "
        "(and not here)",
        "storage-opt=list",
        convert=check_storage_option,
    ),
)  # fmt: skip

CONTAINER_FLAGS: tuple[Flag, ...] = (
    *_IDENTITY, *_NETWORK, *_STORAGE, *_LIMITS, *_SECURITY, *MODE_FLAGS, *_LIFECYCLE, *_PLANNED,
    *_UNSUPPORTED, HELP,
)  # fmt: skip
