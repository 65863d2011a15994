"""The state file: what a supervisor has to say about its container, for anybody to read.

Written to a temporary name and renamed. Not flushed to the disk: after a power failure nobody
holds the lock, and the container is over whatever the file says.
"""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.store import container_process
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE, write_file

STARTING: Final = "starting"  # the health of a container that has not been found healthy yet
HEALTHY: Final = "healthy"
UNHEALTHY: Final = "unhealthy"


class State(Struct, frozen=True, kw_only=True):
    """Times in seconds since the epoch, 0 for never. `pid` is the host's view of pid 1."""

    status: str = "created"
    pid: int = 0
    exit_code: int = 0
    started: float = 0
    finished: float = 0
    oom_killed: bool = False
    restart_count: int = 0
    manually_stopped: bool = False  # then `unless-stopped` does not bring it back after a reboot
    health: str = ""  # one of the three above; empty when nobody looks
    error: str = ""
    # its supervisor was killed and nobody has seen to it yet: it is over, or runs on unattended
    lost: bool = False
    ip_address: str = ""
    prefix_length: int = 0
    gateway: str = ""
    mac_address: str = ""
    veth: str = ""
    # by the network's id, of each that it is on: see `network.plan`
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    ports: tuple[tuple[str, int, int, str], ...] = ()  # host ip, host port, container port, proto


_ALIVE: Final = ("running", "paused", "restarting")
_FIELDS: Final = State.__struct_fields__
NO_ENDPOINT: Final[dict[str, Any]] = {
    "ip_address": "",
    "prefix_length": 0,
    "gateway": "",
    "mac_address": "",
    "veth": "",
    "networks": {},
    "ports": (),
}


def write(directory: str, state: State) -> None:
    data = json.dumps({name: getattr(state, name) for name in _FIELDS}).encode()
    write_file(f"{directory}/state.json", data)


def note(directory: str, **changes: Any) -> None:
    """As `change`, unless the disk takes nothing."""
    try:
        change(directory, **changes)
    except OSError as error:
        if error.errno not in DISK_UNWRITABLE:
            raise


def change(directory: str, **changes: Any) -> State:
    """Write some fields anew. Only who holds the container's lock may."""
    changed = replace(load(directory), **changes)
    write(directory, changed)
    return changed


def read(directory: str, run: str) -> State:
    """The state now: what the file says, unless it says alive and has no supervisor."""
    written = load(directory)
    if written.status not in _ALIVE or container_process.has_supervisor(run):
        return written
    # the supervisor may have ended between the two looks: its last word counts
    written = load(directory)
    if written.status not in _ALIVE:
        return written
    return replace(written, lost=True) if container_process.survivor(run) else lost(written)


def lost(written: State) -> State:
    """What it comes to when the supervisor that wrote this was killed, and its program too."""
    return replace(
        written,
        status="exited",
        exit_code=137,
        pid=0,
        lost=True,
        **NO_ENDPOINT,
        error=written.error or "the supervisor of this container was killed",
    )


def load(directory: str) -> State:
    """What the file says, true or not; the state of a new container when there is none."""
    try:
        with open(f"{directory}/state.json", "rb") as stream:
            values: dict[str, Any] = json.load(stream)
    except FileNotFoundError:
        return State()
    values["ports"] = tuple(tuple(port) for port in values["ports"])
    return State(**values)
