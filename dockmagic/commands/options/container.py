"""The `ContainerSpec` that the flags of `run` and `create` ask for.

What reads a group of flags is imported for a line that has one of them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Any

from dockmagic.commands.options.flags import Arguments
from dockmagic.commands.options.health import health
from dockmagic.commands.options.limits import limits_of
from dockmagic.commands.options.namespaces import modes
from dockmagic.commands.options.restart_policy import parse_restart
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, Device, Mount, PortMapping
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.options.modes import check_conflicts

_PULL = ("always", "missing", "never")


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
        **_lifecycle(arguments),
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
        **_variables(arguments),
        "working_dir": flag("workdir"),
        "user": flag("user"),
        "group_add": flag("group-add"),
        "hostname": flag("hostname"),
        "domainname": flag("domainname"),
        "tty": flag("tty"),
        "open_stdin": flag("interactive"),
    }


def _variables(arguments: Arguments) -> dict[str, Any]:
    """Environment variables and labels."""
    flag = arguments.flag
    files, given = (flag("env-file"), flag("label-file")), (flag("env"), flag("label"))
    if not any((*files, *given)):
        return {}
    from dockmagic.commands.options.environment import read_env, read_labels

    return {"env": read_env(files[0], given[0]), "labels": read_labels(files[1], given[1])}


def _lifecycle(arguments: Arguments) -> dict[str, Any]:
    """Its start, its health check and log, and its end."""
    flag = arguments.flag
    driver, options = flag("log-driver"), key_values(flag("log-opt"))
    if driver or options:
        from dockmagic_runtime.supervisor.logs.options import log_options

        log_options(driver or "json-file", options)  # as the engine does, but before a pull
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
        "log_driver": driver or "json-file",
        "log_options": options,
        "annotations": key_values(flag("annotation")),
    }


def key_values(pairs: Iterable[str]) -> dict[str, str]:
    return {key: text for key, _, text in (pair.partition("=") for pair in pairs)}


def _network(arguments: Arguments) -> dict[str, Any]:
    flag, attached = arguments.flag, _attachments(arguments)
    return {
        "network": attached[0].network if attached else "bridge",
        "attachments": attached,
        "ports": _ports(flag("publish")),
        "publish_all": flag("publish-all"),
        "expose": _exposed(flag("expose")),
        "links": flag("link"),
        "extra_hosts": flag("add-host"),
        "dns": flag("dns"),
        "dns_search": flag("dns-search"),
        "dns_options": (*flag("dns-option"), *flag("dns-opt")),
    }


def _attachments(arguments: Arguments) -> tuple[Attachment, ...]:
    flag = arguments.flag
    networks = (*flag("network"), *flag("net"))
    asked = {
        "aliases": (*flag("network-alias"), *flag("net-alias")),
        "ipv4": flag("ip"),
        "ipv6": flag("ip6"),
        "mac_address": flag("mac-address"),
        "link_local_ips": flag("link-local-ip"),
    }
    if not (networks or any(asked.values())):
        return ()
    from dockmagic_runtime.options.networks import attachments

    return attachments(networks, **asked)


def _ports(texts: Iterable[str]) -> tuple[PortMapping, ...]:
    if not texts:
        return ()
    from dockmagic.commands.options.ports import parse_publish

    return tuple(port for text in texts for port in parse_publish(text))


def _exposed(texts: Iterable[str]) -> tuple[str, ...]:
    if not texts:
        return ()
    from dockmagic.commands.options.ports import parse_expose

    return tuple(port for text in texts for port in parse_expose(text))


def _security(arguments: Arguments) -> dict[str, Any]:
    flag = arguments.flag
    return {
        "cap_add": flag("cap-add"),
        "cap_drop": flag("cap-drop"),
        "privileged": flag("privileged"),
        "security_opt": _security_options(flag("security-opt")),
        "read_only": flag("read-only"),
        "sysctls": dict(flag("sysctl")),
        "devices": _devices(flag("device")),
        "device_cgroup_rules": flag("device-cgroup-rule"),
    }


def _security_options(texts: Iterable[str]) -> tuple[str, ...]:
    if not texts:
        return ()
    from dockmagic.commands.options.security import parse_security

    return parse_security(texts)


def _devices(texts: Iterable[str]) -> tuple[Device, ...]:
    if not texts:
        return ()
    from dockmagic.commands.options.devices import parse_device

    return tuple(map(parse_device, texts))


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
    if not any(arguments.flag(name) for name in ("volume", "mount", "tmpfs")):
        return ()
    from dockmagic.commands.options.mounts import parse_volume
    from dockmagic_runtime.options.volumes import check_unique, parse_tmpfs

    # Docker's client keeps both in maps: the same -v twice is one, and of a --tmpfs the last counts
    volumes = dict.fromkeys(arguments.flag("volume"))
    tmpfs = {mount.target: mount for mount in map(parse_tmpfs, arguments.flag("tmpfs"))}
    mounts = (
        *(parse_volume(text, arguments.flag("volume-driver")) for text in volumes),
        *arguments.flag("mount"),
        *tmpfs.values(),
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
