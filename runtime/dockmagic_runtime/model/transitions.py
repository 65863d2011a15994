"""What may be done with a container in each of its states, and Docker's words when it may not.

    created ─start→ running ─pause→ paused ─unpause→ running
                    running ─exit→ exited, or with a restart policy restarting ─→ running
    exited  ─start→ running;   created, exited, dead ─remove→ (gone)

An action that is not in the table for a state is allowed there. `stop` of a container that does
not run succeeds without an effect, as with Docker, so it is not in the table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import Status


class Action(StrEnum):
    START = "start"
    ATTACH = "attach"
    EXEC = "exec"
    TOP = "top"
    COPY = "copy"
    STATS = "stats"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    REMOVE = "remove"


_STOPPED: Final = (Status.CREATED, Status.EXITED, Status.DEAD, Status.REMOVING)
_ALIVE: Final = (Status.RUNNING, Status.PAUSED, Status.RESTARTING)
_IS_RESTARTING: Final = {
    Status.RESTARTING: "Container {id} is restarting, wait until the container is running"
}
_REFUSALS: Final[dict[Action, dict[Status, str]]] = {
    Action.START: dict.fromkeys((*_ALIVE, Status.REMOVING), "container {name} is already {status}"),
    Action.ATTACH: {
        **dict.fromkeys(_STOPPED, "You cannot attach to a stopped container, start it first"),
        Status.PAUSED: "You cannot attach to a paused container, unpause it first",
        Status.RESTARTING: "You cannot attach to a restarting container, wait until it is running",
    },
    Action.EXEC: {
        **dict.fromkeys(_STOPPED, "container {id} is not running"),
        Status.PAUSED: "Container {id} is paused, unpause the container before exec",
        **_IS_RESTARTING,
    },
    Action.TOP: {**dict.fromkeys(_STOPPED, "container {id} is not running"), **_IS_RESTARTING},
    Action.COPY: _IS_RESTARTING,
    Action.STATS: dict.fromkeys(_STOPPED, "Container {name} is not running"),
    Action.PAUSE: {
        **dict.fromkeys(_STOPPED, "Container {id} is not running"),
        Status.PAUSED: "Container {id} is already paused",
        **_IS_RESTARTING,
    },
    Action.UNPAUSE: dict.fromkeys(
        (*_STOPPED, Status.RUNNING, Status.RESTARTING), "Container {id} is not paused"
    ),
    Action.REMOVE: dict.fromkeys(
        _ALIVE,
        'cannot remove container "/{name}": container is {status}: '
        "stop the container before removing or force remove",
    ),
}


def refusal(action: Action, status: Status, *, id: str, name: str = "") -> str:
    """Why the action is not allowed in that state; empty when it is."""
    return _REFUSALS[action].get(status, "").format(id=id, name=name, status=status)


def check(action: Action, status: Status, *, id: str, name: str = "") -> None:
    """Raises Conflict if the action is not allowed in that state."""
    if message := refusal(action, status, id=id, name=name):
        raise Conflict(message)
