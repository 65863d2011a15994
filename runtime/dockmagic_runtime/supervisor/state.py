"""The state file: a supervisor writes the state of its container, any process reads it.

It is written to a temporary name and renamed. The last state of a container is on the disk before
that; the state of a running one need not be, since after a power failure nothing runs. A reader
bears any contents: what cannot be read is set to a default and named in `State.damage`.
"""

# No annotations as texts: msgspec compiles each when it first uses the class, 10 us a field.

import os
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, ValidationError, convert, field
from msgspec.structs import replace

from dockmagic_runtime.model import lenient_json
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
    health: str = ""  # one of the three above; empty without a health check
    error: str = ""
    # its supervisor was killed and no engine has recovered it yet: it has ended, or runs on
    lost: bool = False
    ip_address: str = ""
    prefix_length: int = 0
    gateway: str = ""
    mac_address: str = ""
    veth: str = ""
    # by the network's id, of each that it is on: see `network.plan`
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    ports: tuple[tuple[str, int, int, str], ...] = ()  # host ip, host port, container port, proto
    damage: str = ""  # what the file does not say any more, in one sentence; never written


_ALIVE: Final = ("running", "paused", "restarting")
_STATUSES: Final = (*_ALIVE, "created", "removing", "exited", "dead")
_FIELDS: Final = tuple(name for name in State.__struct_fields__ if name != "damage")
_FILE: Final = "state.json"
UNKNOWN_EXIT: Final = 255  # as Docker has it for a container that ended unobserved
_END_OF_TIME: Final = 253402300800.0  # the year 10000, which no date in a file can be in
_TRACES: Final = ("explain.json", "health.json")  # files of a container that has been started
_ENDPOINT_KEYS: Final = frozenset(
    "name endpoint_id interface veth mac_address ip_address prefix_length gateway ip6_address "
    "prefix_length6 gateway6".split()
)
NO_ENDPOINT: Final[dict[str, Any]] = {
    "ip_address": "",
    "prefix_length": 0,
    "gateway": "",
    "mac_address": "",
    "veth": "",
    "networks": {},
    "ports": (),
}


def write(directory: str, state: State, *, sync: bool = False) -> None:
    """Replaces the state file. `sync`: it is on the disk before the old one is replaced."""
    data = lenient_json.encode({name: getattr(state, name) for name in _FIELDS})
    write_file(f"{directory}/{_FILE}", data, sync=sync)


def note(directory: str, known: Mapping[str, Any], *, sync: bool = False, **changes: Any) -> None:
    """As `change`, unless the disk is full or read-only.

    `known` are the fields that the supervisor can write anew where the file is damaged.
    """
    try:
        change(directory, known, sync=sync, **changes)
    except OSError as error:
        if error.errno not in DISK_UNWRITABLE:
            raise


def change(
    directory: str, known: Mapping[str, Any] | None = None, *, sync: bool = False, **changes: Any
) -> State:
    """Writes some fields of the state anew. The caller holds the container's lock."""
    written = load(directory)
    if written.damage:
        written = replace(written, **(known or {}), error=written.damage, damage="")
    changed = replace(written, **changes)
    write(directory, changed, sync=sync)
    return changed


def read(directory: str, run: str) -> State:
    """The present state: that of the file, unless it says alive and there is no supervisor."""
    written = load(directory)
    if written.damage:
        return _of_process(written, run)
    if written.status not in _ALIVE or container_process.has_supervisor(run):
        return written
    # the supervisor may have ended meanwhile, after it had written its last state
    written = load(directory)
    if written.status not in _ALIVE:
        return written
    return replace(written, lost=True) if container_process.survivor(run) else lost(written)


def _of_process(damaged: State, run: str) -> State:
    """A state that cannot be read, corrected by what runs."""
    supervised = container_process.has_supervisor(run)
    program = container_process.read_record(run) if supervised else container_process.survivor(run)
    if not supervised and program is None:
        is_over = damaged.status not in _ALIVE
        return damaged if is_over else replace(lost(damaged), exit_code=UNKNOWN_EXIT)
    status = damaged.status if damaged.status in _ALIVE else "running"
    pid = program.pid if program else damaged.pid
    return replace(damaged, status=status, pid=pid, exit_code=0, lost=not supervised)


def lost(written: State) -> State:
    """The state after the supervisor that wrote `written`, and its program, were killed."""
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
    """The state as the file has it, true or not; that of a new container without a file."""
    try:
        with open(f"{directory}/{_FILE}", "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        return _without_file(directory)
    except OSError as error:  # a directory, a bad block
        return _damaged(f"{_FILE} cannot be read ({os.strerror(error.errno or 0).lower()})")
    try:
        values = lenient_json.decode(data)
    except ValueError:  # cut, or no text at all
        values = None
    if not isinstance(values, dict):
        return _damaged(f"{_FILE} is {'damaged' if data else 'empty'}")
    try:
        state = convert({name: values[name] for name in _FIELDS if name in values}, State)
    except ValidationError:
        return _readable_fields(values)
    return state if "status" in values and _is_plausible(state) else _readable_fields(values)


def _without_file(directory: str) -> State:
    if not os.path.isdir(directory):
        return State(
            status="dead",
            exit_code=UNKNOWN_EXIT,
            damage="its directory is missing: its files, its state and its log are lost",
        )
    if any(os.path.exists(f"{directory}/{name}") for name in _TRACES):
        return _damaged(f"{_FILE} is missing")
    return State()


def _damaged(what: str) -> State:
    return State(
        status="exited",
        exit_code=UNKNOWN_EXIT,
        damage=f"{what}: when it ran and how it ended are lost",
    )


def _readable_fields(values: dict[str, Any]) -> State:
    """The fields that can be read, the others with their defaults, and named."""
    readable, lost_names = {}, []
    for name in _FIELDS:
        try:
            part = convert({name: values[name]}, State)
        except KeyError:
            if name == "status":  # earlier versions did not write every other field
                lost_names.append(name)
            continue
        except ValidationError:
            part = None
        if part is not None and _is_plausible(part):
            readable[name] = getattr(part, name)
        else:
            lost_names.append(name)
    default = {"status": "exited", "exit_code": UNKNOWN_EXIT} if "status" in lost_names else {}
    return State(
        **{**default, **readable},
        damage=f"{_FILE} is damaged: its {', '.join(sorted(lost_names))} can not be read",
    )


def _is_plausible(state: State) -> bool:
    """Whether a field of the right type has a value that a supervisor may have written."""
    return (
        state.status in _STATUSES
        and state.pid >= 0
        and all(0 <= moment < _END_OF_TIME for moment in (state.started, state.finished))
        and all(endpoint.keys() >= _ENDPOINT_KEYS for endpoint in state.networks.values())
    )
