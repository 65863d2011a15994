"""Modes of namespaces, and what contradicts one that is shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec

# The word of each flag in Docker's message, and what may be said besides container:NAME.
_KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "pid": ("PID", ("", "host")),
    "uts": ("UTS", ("", "host")),
    "userns": ("USER", ("", "host")),
    "cgroupns": ("CGROUP", ("", "host", "private")),
}
_IPC = ("", "none", "private", "shareable", "host")


def modes(*, pid: str, ipc: str, uts: str, cgroupns: str, userns: str) -> dict[str, Any]:
    """The fields of a spec; empty texts mean the default."""
    for name, mode in {"pid": pid, "uts": uts, "cgroupns": cgroupns, "userns": userns}.items():
        _check(name, mode)
    if ipc not in _IPC and not _is_container(ipc):
        hint = "private, shareable, none, host or container:NAME"
        raise InvalidInput(f"invalid IPC mode: {ipc}", hint=hint)
    return {
        "pid_mode": pid,
        "ipc_mode": ipc,
        "uts_mode": uts,
        "cgroupns_mode": cgroupns or "private",
        "userns_mode": userns,
    }


def _check(name: str, mode: str) -> None:
    word, known = _KNOWN[name]
    if mode in known or (name == "pid" and _is_container(mode)):
        return
    hint = " or ".join([*known[1:], *(["container:NAME"] if name == "pid" else [])])
    raise InvalidInput(f"--{name}: invalid {word} mode", hint=hint)


def _is_container(mode: str) -> bool:
    return mode.startswith("container:") and mode != "container:"


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
