"""The flags that `run` and `create` share, and the `ContainerSpec` they ask for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from dockmagic.commands.environment import check_env, check_label, read_env, read_labels
from dockmagic.commands.flags import Arguments, Flag, integer, planned, switch, value, values
from dockmagic.commands.mounts import check_unique, parse_mount, parse_tmpfs, parse_volume
from dockmagic.commands.ports import parse_expose, parse_publish
from dockmagic.commands.quantities import parse_cpus, parse_size, parse_swap
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, Mount, Resources

_ULIMITS = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)
_SYSCTLS = re.compile(r"(kernel\.(shm|msg|sem).*|fs\.mqueue\..+|net\..+)")
_PULL = ("always", "missing", "never")


def parse_ulimit(text: str) -> tuple[str, tuple[int, int]]:
    """`nofile=1024:2048`, or one number for both limits; -1 is no limit."""
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    try:
        low = int(soft)
        high = int(hard) if colon else low
    except ValueError:
        raise ValueError(f"invalid ulimit argument: {text}") from None
    if high != -1 and (low == -1 or low > high):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {text}")
    return name, (low, high)


def parse_sysctl(text: str) -> tuple[str, str]:
    name, equals, setting = text.partition("=")
    if not equals or not _SYSCTLS.fullmatch(name):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, setting


def parse_host(text: str) -> str:
    """`name:address` or `name=address`, kept as `name:address`."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    address = address.removeprefix("[").removesuffix("]")
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address != "host-gateway":
        _check_address(address, f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address}"


def parse_address(text: str) -> str:
    return _check_address(text, f"IP address is not correctly formatted: {text}")


def _check_address(text: str, message: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(message) from None


def parse_stream(text: str) -> str:
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


_IDENTITY: tuple[Flag, ...] = (
    value("name", help="Name of the container; a random one if not given"),
    values("label", "l", "Metadata, KEY=VALUE", convert=check_label),
    values("label-file", help="File with metadata, one KEY=VALUE a line"),
    values(
        "env", "e", "Environment variable, KEY=VALUE, or KEY to pass yours on", convert=check_env
    ),
    values("env-file", help="File with environment variables"),
    value("workdir", "w", "Directory in which the command starts"),
    value("user", "u", "User and group: name or number, NAME[:GROUP]"),
    values("group-add", help="Additional group of the user"),
    value("hostname", "h", "Host name inside the container"),
    value("domainname", help="NIS domain name"),
    value("entrypoint", help="Replace the image's ENTRYPOINT"),
    switch("interactive", "i", "Keep standard input open"),
    switch("tty", "t", "Give the command a terminal"),
    value("stop-signal", help="Signal that 'stop' sends"),
    integer("stop-timeout", help="Seconds that 'stop' waits before it kills"),
    value("pull", help="Pull the image first: always, missing or never", default="missing"),
    switch("quiet", "q", "Say nothing about the pull"),
    value("cidfile", help="Write the container's id to this new file"),
)
_NETWORK: tuple[Flag, ...] = (
    values("publish", "p", "Publish a port: [[IP:]HOST:]CONTAINER[/PROTOCOL]"),
    switch("publish-all", "P", "Publish every exposed port on a free host port"),
    values("expose", help="Document a port or a range of ports"),
    values("network", help="Network: bridge, host, none or container:NAME", type="network"),
    values("net", help="Same as --network", type="network"),
    values("add-host", help="Line for /etc/hosts, NAME:ADDRESS", convert=parse_host),
    values("dns", help="Name server", convert=parse_address),
    values("dns-search", help="Domain in which short names are looked up"),
    values("dns-option", help="Option for resolv.conf"),
)
_STORAGE: tuple[Flag, ...] = (
    values("volume", "v", "Mount a host directory or volume: SOURCE:TARGET[:OPTIONS]"),
    values("mount", help="Mount, as type=,source=,target=", type="mount", convert=parse_mount),
    values("tmpfs", help="Mount an empty file system in memory"),
    values("volumes-from", help="Mount what another container mounts"),
    switch("read-only", help="Make the container's root read-only"),
    value("shm-size", help="Size of /dev/shm", type="bytes", default=64 << 20, convert=parse_size),
)
_LIMITS: tuple[Flag, ...] = (
    value("memory", "m", "Memory limit", type="bytes", default=0, convert=parse_size),
    value(
        "memory-swap",
        help="Memory and swap together, -1 for no limit",
        type="bytes",
        default=0,
        convert=parse_swap,
    ),
    value(
        "memory-reservation", help="Soft memory limit", type="bytes", default=0, convert=parse_size
    ),
    value("cpus", help="How many CPUs, such as 1.5", type="decimal", default=0, convert=parse_cpus),
    integer("cpu-shares", "c", "Weight against other containers"),
    integer("cpu-period", help="Length of a scheduling period, microseconds"),
    integer("cpu-quota", help="CPU time in each period, microseconds"),
    value("cpuset-cpus", help="CPUs to run on, such as 0-3 or 0,1"),
    value("cpuset-mems", help="Memory nodes to use"),
    integer("pids-limit", help="How many processes, -1 for no limit"),
    integer("blkio-weight", help="Weight of block I/O, 10 to 1000"),
    values("ulimit", help="Resource limit, NAME=SOFT[:HARD]", type="ulimit", convert=parse_ulimit),
)
_SECURITY: tuple[Flag, ...] = (
    values("cap-add", help="Give a capability"),
    values("cap-drop", help="Take a capability away"),
    switch("privileged", help="Give all capabilities and devices"),
    values("security-opt", help="Security option"),
    values(
        "sysctl",
        help="Kernel parameter of the container's namespaces",
        type="map",
        convert=parse_sysctl,
    ),
)
_PLANNED = planned(
    "annotation=map", "blkio-weight-device=list", "cgroup-parent=string", "cgroupns=string",
    "cpu-count=int", "cpu-percent=int", "cpu-rt-period=int", "cpu-rt-runtime=int", "device=list",
    "device-cgroup-rule=list", "device-read-bps=list", "device-read-iops=list",
    "device-write-bps=list", "device-write-iops=list", "disable-content-trust", "gpus=request",
    "health-cmd=string", "health-interval=duration", "health-retries=int",
    "health-start-interval=duration", "health-start-period=duration", "health-timeout=duration",
    "init", "io-maxbandwidth=bytes", "io-maxiops=uint", "ip=string", "ip6=string", "ipc=string",
    "isolation=string", "kernel-memory=bytes", "link=list", "link-local-ip=list",
    "log-driver=string", "log-opt=list", "mac-address=string", "memory-swappiness=int",
    "network-alias=list", "no-healthcheck", "oom-kill-disable", "oom-score-adj=int",
    "pid=string", "platform=string", "restart=string", "runtime=string", "storage-opt=list",
    "use-api-socket", "userns=string", "uts=string", "volume-driver=string",
)  # fmt: skip

CONTAINER_FLAGS: tuple[Flag, ...] = (
    *_IDENTITY, *_NETWORK, *_STORAGE, *_LIMITS, *_SECURITY, *_PLANNED,
)  # fmt: skip


def container_spec(arguments: Arguments, *, auto_remove: bool = False) -> ContainerSpec:
    """All that the line asks for. Every mistake in it is raised here, before any effect."""
    flag = arguments.flag
    image, *command = arguments.words
    spec = ContainerSpec(
        image=image,
        name=flag("name"),
        command=tuple(command) or None,
        entrypoint=_entrypoint(arguments),
        env=read_env(flag("env-file"), flag("env")),
        labels=read_labels(flag("label-file"), flag("label")),
        working_dir=flag("workdir"),
        user=flag("user"),
        group_add=flag("group-add"),
        hostname=flag("hostname"),
        domainname=flag("domainname"),
        tty=flag("tty"),
        open_stdin=flag("interactive"),
        auto_remove=auto_remove,
        mounts=_mounts(arguments),
        volumes_from=flag("volumes-from"),
        resources=_resources(arguments),
        ulimits=dict(flag("ulimit")),
        shm_size=flag("shm-size"),
        stop_signal=flag("stop-signal"),
        stop_timeout=flag("stop-timeout") if arguments.is_given("stop-timeout") else None,
        pull=_pull(flag("pull")),
        **_network(arguments),
        **_security(arguments),
    )
    _check_network_mode(spec)
    return spec


def _network(arguments: Arguments) -> dict[str, Any]:
    flag = arguments.flag
    names = (*flag("network"), *flag("net"))
    if len(set(names)) > 1:
        raise arguments.wrong("more than one --network is not supported yet")
    return {
        "network": names[0] if names else "bridge",
        "ports": tuple(port for text in flag("publish") for port in parse_publish(text)),
        "publish_all": flag("publish-all"),
        "expose": tuple(port for text in flag("expose") for port in parse_expose(text)),
        "extra_hosts": flag("add-host"),
        "dns": flag("dns"),
        "dns_search": flag("dns-search"),
        "dns_options": flag("dns-option"),
    }


def _security(arguments: Arguments) -> dict[str, Any]:
    flag = arguments.flag
    return {
        "cap_add": flag("cap-add"),
        "cap_drop": flag("cap-drop"),
        "privileged": flag("privileged"),
        "security_opt": flag("security-opt"),
        "read_only": flag("read-only"),
        "sysctls": dict(flag("sysctl")),
    }


def _entrypoint(arguments: Arguments) -> tuple[str, ...] | None:
    """None leaves the image's; `--entrypoint ""` clears it."""
    if not arguments.is_given("entrypoint"):
        return None
    text = arguments.flag("entrypoint")
    return (text,) if text else ()


def _mounts(arguments: Arguments) -> tuple[Mount, ...]:
    mounts = (
        *map(parse_volume, arguments.flag("volume")),
        *arguments.flag("mount"),
        *map(parse_tmpfs, arguments.flag("tmpfs")),
    )
    check_unique(mounts)
    return tuple(sorted(mounts, key=lambda mount: _depth(mount.target)))


def _depth(path: str) -> int:
    """A mount below another comes after it, or it would be covered."""
    return posixpath.normpath(path).count("/")


def _resources(arguments: Arguments) -> Resources:
    flag = arguments.flag
    resources = Resources(
        memory=flag("memory"),
        memory_swap=flag("memory-swap"),
        memory_reservation=flag("memory-reservation"),
        nano_cpus=flag("cpus"),
        cpu_shares=flag("cpu-shares"),
        cpu_period=flag("cpu-period"),
        cpu_quota=flag("cpu-quota"),
        cpuset_cpus=flag("cpuset-cpus"),
        cpuset_mems=flag("cpuset-mems"),
        pids_limit=flag("pids-limit"),
        blkio_weight=flag("blkio-weight"),
    )
    _check_resources(resources)
    return resources


def _check_resources(resources: Resources) -> None:
    if 0 < resources.memory < 6 << 20:
        raise InvalidInput("Minimum memory limit allowed is 6MB")
    if resources.memory_swap > 0 and not resources.memory:
        raise InvalidInput("You should always set the Memory limit when using Memoryswap limit")
    if 0 < resources.memory_swap < resources.memory:
        raise InvalidInput("Minimum memoryswap limit should be larger than memory limit, see usage")
    if resources.nano_cpus and (resources.cpu_period or resources.cpu_quota):
        raise InvalidInput(
            "Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set"
        )


def _pull(policy: str) -> str:
    if policy not in _PULL:
        raise InvalidInput(
            f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"'
        )
    return policy


def _check_network_mode(spec: ContainerSpec) -> None:
    """What belongs to the other container's network cannot be asked for beside it."""
    if not spec.network.startswith("container:"):
        return
    asked = {
        "hostname and the network mode": spec.hostname,
        "port publishing and the container type network mode": spec.ports or spec.publish_all,
        "port exposing and the container type network mode": spec.expose,
        "dns and the network mode": spec.dns,
        "custom host-to-IP mapping and the network mode": spec.extra_hosts,
    }
    _refuse(what for what, wanted in asked.items() if wanted)


def _refuse(conflicts: Iterable[str]) -> None:
    for conflict in conflicts:
        raise InvalidInput(f"conflicting options: {conflict}")
