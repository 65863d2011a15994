"""Namespaces that a container shares: `--pid`, `--ipc`, `--uts`, `--cgroupns`, `--userns`.

What contradicts a shared namespace, of the network too, ends here with the daemon's error text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Flag, value
from dockmagic_runtime.errors import InvalidInput, NotFound, Unsupported
from dockmagic_runtime.model.container import ContainerSpec

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

MODE_FLAGS: tuple[Flag, ...] = (
    value("pid", help="PID namespace to use"),
    value("ipc", help="IPC mode to use"),
    value("uts", help="UTS namespace to use"),
    value(
        "cgroupns",
        help="Cgroup namespace to use (host|private)\n"
        "'host':    Run the container in the Docker host's cgroup namespace\n"
        "'private': Run the container in its own private cgroup namespace\n"
        "'':        Use the cgroup namespace as configured by the\n"
        "default-cgroupns-mode option on the daemon (default)",
    ),
    value("userns", help="User namespace to use"),
)
# The word of each flag in Docker's message, and what may be said besides container:NAME.
_KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "pid": ("PID", ("", "host")),
    "uts": ("UTS", ("", "host")),
    "userns": ("USER", ("", "host")),
    "cgroupns": ("CGROUP", ("", "host", "private")),
}
_IPC = ("", "none", "private", "shareable", "host")


def modes(arguments: Arguments) -> dict[str, Any]:
    """The fields of the spec. Raises InvalidInput."""
    flag = arguments.flag
    chosen = {name: flag(name) for name in ("pid", "uts", "cgroupns", "userns")}
    for name, mode in chosen.items():
        _check(name, mode)
    ipc = flag("ipc")
    if ipc not in _IPC and not _is_container(ipc):
        hint = "private, shareable, none, host or container:NAME"
        raise InvalidInput(f"invalid IPC mode: {ipc}", hint=hint)
    return {
        "pid_mode": chosen["pid"],
        "ipc_mode": ipc,
        "uts_mode": chosen["uts"],
        "cgroupns_mode": chosen["cgroupns"] or "private",
        "userns_mode": chosen["userns"],
    }


def _check(name: str, mode: str) -> None:
    word, known = _KNOWN[name]
    if mode in known or (name == "pid" and _is_container(mode)):
        return
    hint = " or ".join([*known[1:], *(["container:NAME"] if name == "pid" else [])])
    raise InvalidInput(f"--{name}: invalid {word} mode", hint=hint)


def _is_container(mode: str) -> bool:
    return mode.startswith("container:") and mode != "container:"


def check_isolation(text: str) -> str | None:
    """Windows' word; `default` is what Linux has, and asks for nothing."""
    if text in ("", "default"):
        return None
    raise ValueError(f"Invalid isolation: \"{text}\" - linux only supports 'default'")


def check_conflicts(spec: ContainerSpec) -> None:
    """Raises InvalidInput for the first option that conflicts with a shared namespace."""
    if spec.network == "container:":
        raise InvalidInput("invalid network mode: invalid container format container:<name|id>")
    for conflict in _conflicts(spec):
        raise InvalidInput(f"conflicting options: {conflict}")


def _conflicts(spec: ContainerSpec) -> Iterator[str]:
    if spec.uts_mode == "host" and spec.hostname:
        yield "hostname and the UTS mode"
    if not spec.network.startswith("container:"):
        return
    asked = {
        "hostname and the network mode": spec.hostname,
        "dns and the network mode": spec.dns,
        "custom host-to-IP mapping and the network mode": spec.extra_hosts,
        "port publishing and the container type network mode": spec.ports or spec.publish_all,
        "port exposing and the container type network mode": spec.expose,
    }
    yield from (what for what, wanted in asked.items() if wanted)


def dropped(engine: EngineApi, spec: ContainerSpec) -> Iterator[str]:
    """What the host's firewall does to ports that are published."""
    if not (spec.ports or spec.publish_all):
        return
    for name in dict.fromkeys((spec.network, *(endpoint.network for endpoint in spec.attachments))):
        with suppress(NotFound, Unsupported):  # the start itself says so
            if text := engine.networks.warning(name):
                yield text
                return


def warnings(spec: ContainerSpec) -> Iterator[str]:
    """What Docker warns of: it goes on, and it may not be what was wanted."""
    if spec.network == "host" and (spec.ports or spec.publish_all):
        yield "Published ports are discarded when using host network mode"
    if spec.resources.oom_kill_disable and not spec.resources.memory:
        yield (
            "Disabling the OOM killer on containers without setting a '-m/--memory' limit "
            "may be dangerous."
        )
    for address in spec.dns:
        if address.startswith("127."):
            yield f"Localhost DNS setting (--dns={address}) may fail in containers."
