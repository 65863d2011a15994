"""The flags that `run` and `create` share, and the `ContainerSpec` they ask for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from dockmagic.commands.options.devices import check_gpus, parse_device, parse_device_rule
from dockmagic.commands.options.environment import check_env, check_label, read_env, read_labels
from dockmagic.commands.options.flags import (  # fmt: skip
    Arguments,
    Flag,
    integer,
    planned,
    switch,
    unsupported,
    value,
    values,
)
from dockmagic.commands.options.health import HEALTH_FLAGS, health
from dockmagic.commands.options.limits import LIMIT_FLAGS, limits_of
from dockmagic.commands.options.mounts import check_unique, parse_mount, parse_tmpfs, parse_volume
from dockmagic.commands.options.namespaces import (
    MODE_FLAGS,
    check_conflicts,
    check_isolation,
    modes,
)
from dockmagic.commands.options.network import (
    attachments,
    parse_ipv4,
    parse_ipv6,
    parse_link,
    parse_mac,
    parse_network,
)
from dockmagic.commands.options.platform import IMAGE_FLAGS
from dockmagic.commands.options.ports import parse_expose, parse_publish
from dockmagic.commands.options.restart_policy import RESTART_FLAG, parse_restart
from dockmagic.commands.options.security import parse_security
from dockmagic.commands.units import parse_size
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, Mount
from dockmagic_runtime.supervisor.log import log_options

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
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?=.*[a-zA-Z]){_LABEL}(?:\.{_LABEL})*\.?")
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


def parse_domain(text: str) -> str:
    """A domain to search in; `.` stands for none."""
    if text != "." and not (_DOMAIN.fullmatch(text) and len(text) < 255):
        raise ValueError(f"{text} is not a valid domain")
    return text


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
    values(
        "network",
        help="Network: NAME or name=,alias=,ip=; host, none, container:NAME",
        type="network",
        convert=parse_network,
    ),
    values("net", help="Same as --network", type="network", convert=parse_network),
    values("network-alias", help="One more name of it on the network"),
    values("net-alias", help="Same as --network-alias"),
    value("ip", help="IPv4 address", type="ip", convert=parse_ipv4),
    value("ip6", help="IPv6 address", type="ip", convert=parse_ipv6),
    value("mac-address", help="MAC address", convert=parse_mac),
    values("link", help="Another container and its name here, NAME[:ALIAS]", convert=parse_link),
    values("add-host", help="Line for /etc/hosts, NAME:ADDRESS", convert=parse_host),
    values("dns", help="Name server", convert=parse_address),
    values("dns-search", help="Domain in which short names are looked up", convert=parse_domain),
    values("dns-option", help="Option for resolv.conf"),
    values("dns-opt", help="Same as --dns-option"),
)
_STORAGE: tuple[Flag, ...] = (
    values("volume", "v", "Mount a host directory or volume: SOURCE:TARGET[:OPTIONS]"),
    values("mount", help="Mount, as type=,source=,target=", type="mount", convert=parse_mount),
    values("tmpfs", help="Mount an empty file system in memory"),
    value("volume-driver", help="Driver of the volumes that are made: local"),
    values("volumes-from", help="Mount what another container mounts"),
    switch("read-only", help="Make the container's root read-only"),
    value("shm-size", help="Size of /dev/shm", type="bytes", default=64 << 20, convert=parse_size),
)
_LIMITS: tuple[Flag, ...] = (
    *LIMIT_FLAGS,
    integer("oom-score-adj", help="How likely it is chosen when memory runs out, -1000 to 1000"),
    values("ulimit", help="Resource limit, NAME=SOFT[:HARD]", type="ulimit", convert=parse_ulimit),
    value("cgroup-parent", help="Control group to make the container's in"),
    values("device", help="Give a device of the host, HOST[:CONTAINER][:rwm]"),
    values(
        "device-cgroup-rule",
        help="Allow device numbers, such as 'c 10:200 rwm'",
        convert=parse_device_rule,
    ),
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
_LIFE: tuple[Flag, ...] = (
    RESTART_FLAG,
    switch("init", help="Run a small init as process 1, which reaps and passes signals on"),
    *HEALTH_FLAGS,
    value("log-driver", help="Where its output is kept: json-file, local or none"),
    values("log-opt", help="Option of the log driver: max-size=SIZE, max-file=COUNT"),
    values("annotation", help="Annotation, KEY=VALUE", type="map"),
    *IMAGE_FLAGS,
    # Of `create` it has no effect, as with Docker: `start` says itself what it attaches to.
    values("attach", "a", "Attach to STDIN, STDOUT or STDERR", convert=parse_stream),
)
_PLANNED = planned(
    "link-local-ip=list", "use-api-socket",
)  # fmt: skip
_REFUSED = (
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
    *unsupported(
        "unknown or invalid runtime name (dockmagic is its own runtime: leave the flag out)",
        "runtime=string",
    ),
    *unsupported(
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option "
        "(and not here)",
        "storage-opt=list",
    ),
)  # fmt: skip

CONTAINER_FLAGS: tuple[Flag, ...] = (
    *_IDENTITY, *_NETWORK, *_STORAGE, *_LIMITS, *_SECURITY, *MODE_FLAGS, *_LIFE, *_PLANNED,
    *_REFUSED,
)  # fmt: skip


def container_spec(arguments: Arguments, *, auto_remove: bool = False) -> ContainerSpec:
    """All that the line asks for. Every mistake in it is raised here, before any effect."""
    flag = arguments.flag
    image, *command = arguments.words
    if image.startswith("$"):
        raise InvalidInput(
            f"invalid reference format: {image}", hint=f"there is no variable {image[1:]} here"
        )
    spec = ContainerSpec(
        image=image,
        command=tuple(command) or None,
        auto_remove=auto_remove,
        mounts=_mounts(arguments),
        volumes_from=flag("volumes-from"),
        shm_size=flag("shm-size"),
        **_identity(arguments),
        **_network(arguments),
        **_limits(arguments),
        **_security(arguments),
        **modes(arguments),
        **_life(arguments),
    )
    if auto_remove and spec.restart.name != "no":
        raise InvalidInput("conflicting options: cannot specify both --restart and --rm")
    check_conflicts(spec)
    return spec


def _identity(arguments: Arguments) -> dict[str, Any]:
    flag = arguments.flag
    return {
        "name": flag("name"),
        "entrypoint": _entrypoint(arguments),
        "env": read_env(flag("env-file"), flag("env")),
        "labels": read_labels(flag("label-file"), flag("label")),
        "working_dir": flag("workdir"),
        "user": flag("user"),
        "group_add": flag("group-add"),
        "hostname": flag("hostname"),
        "domainname": flag("domainname"),
        "tty": flag("tty"),
        "open_stdin": flag("interactive"),
    }


def _life(arguments: Arguments) -> dict[str, Any]:
    """How it begins, how it is watched, and how it ends."""
    flag = arguments.flag
    driver, options = flag("log-driver") or "json-file", key_values(flag("log-opt"))
    log_options(driver, options)  # the engine asks again; here it is before a pull
    if flag("stop-signal"):
        from dockmagic_runtime.supervisor.engine_client import signal_number  # help can do without

        signal_number(flag("stop-signal"))
    return {
        "stop_signal": flag("stop-signal"),
        "stop_timeout": flag("stop-timeout") if arguments.is_given("stop-timeout") else None,
        "pull": _pull(flag("pull")),
        "platform": flag("platform"),
        "init": flag("init"),
        "restart": parse_restart(flag("restart")),
        "health": health(arguments),
        "log_driver": driver,
        "log_options": options,
        "annotations": key_values(flag("annotation")),
    }


def key_values(pairs: Iterable[str]) -> dict[str, str]:
    return {key: text for key, _, text in (pair.partition("=") for pair in pairs)}


def _network(arguments: Arguments) -> dict[str, Any]:
    flag = arguments.flag
    attached = attachments(
        (*flag("network"), *flag("net")),
        aliases=(*flag("network-alias"), *flag("net-alias")),
        ipv4=flag("ip"),
        ipv6=flag("ip6"),
        mac_address=flag("mac-address"),
    )
    return {
        "network": attached[0].network if attached else "bridge",
        "attachments": attached,
        "ports": tuple(port for text in flag("publish") for port in parse_publish(text)),
        "publish_all": flag("publish-all"),
        "expose": tuple(port for text in flag("expose") for port in parse_expose(text)),
        "links": flag("link"),
        "extra_hosts": flag("add-host"),
        "dns": flag("dns"),
        "dns_search": flag("dns-search"),
        "dns_options": (*flag("dns-option"), *flag("dns-opt")),
    }


def _security(arguments: Arguments) -> dict[str, Any]:
    flag = arguments.flag
    return {
        "cap_add": flag("cap-add"),
        "cap_drop": flag("cap-drop"),
        "privileged": flag("privileged"),
        "security_opt": parse_security(flag("security-opt")),
        "read_only": flag("read-only"),
        "sysctls": dict(flag("sysctl")),
        "devices": tuple(map(parse_device, flag("device"))),
        "device_cgroup_rules": flag("device-cgroup-rule"),
    }


def _limits(arguments: Arguments) -> dict[str, Any]:
    score = arguments.flag("oom-score-adj")
    if not -1000 <= score <= 1000:
        raise InvalidInput(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    return {
        "resources": limits_of(arguments),
        "oom_score_adj": score,
        "ulimits": dict(arguments.flag("ulimit")),
        "cgroup_parent": arguments.flag("cgroup-parent"),
    }


def _entrypoint(arguments: Arguments) -> tuple[str, ...] | None:
    """None leaves the image's; `--entrypoint ""` clears it."""
    if not arguments.is_given("entrypoint"):
        return None
    text = arguments.flag("entrypoint")
    return (text,) if text else ()


def _mounts(arguments: Arguments) -> tuple[Mount, ...]:
    mounts = (
        *(parse_volume(text, arguments.flag("volume-driver")) for text in arguments.flag("volume")),
        *arguments.flag("mount"),
        *map(parse_tmpfs, arguments.flag("tmpfs")),
    )
    check_unique(mounts)
    return tuple(sorted(mounts, key=lambda mount: _depth(mount.target)))


def _depth(path: str) -> int:
    """A mount below another comes after it, or it would be covered."""
    return posixpath.normpath(path).count("/")


def _pull(policy: str) -> str:
    if policy not in _PULL:
        raise InvalidInput(
            f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"'
        )
    return policy
