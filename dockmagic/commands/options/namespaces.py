"""Namespaces that a container shares: `--pid`, `--ipc`, `--uts`, `--cgroupns`, `--userns`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Flag, value
from dockmagic_runtime.errors import NotFound, Unsupported
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.options import modes as options

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


def modes(arguments: Arguments) -> dict[str, Any]:
    """The fields of the spec. Raises InvalidInput."""
    names = ("pid", "ipc", "uts", "cgroupns", "userns")
    return options.modes(**{name: arguments.flag(name) for name in names})


def check_isolation(text: str) -> str | None:
    """Windows' word; `default` is what Linux has, and asks for nothing."""
    if text in ("", "default"):
        return None
    raise ValueError(f"Invalid isolation: \"{text}\" - linux only supports 'default'")


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
            "OOM killer is disabled for the container, but no memory limit is set, this can result "
            "in the system running out of resources."
        )
    for address in spec.dns:
        if address.startswith("127."):
            yield f"Localhost DNS setting (--dns={address}) may fail in containers."
