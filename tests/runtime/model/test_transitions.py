"""The table of a container's states: each refusal is Docker's, and each state can be left."""

from __future__ import annotations

import pytest

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.transitions import Action, check, refusal

ALLOWED = {
    Status.CREATED: {Action.START, Action.COPY, Action.REMOVE},
    Status.RUNNING: set(Action) - {Action.START, Action.UNPAUSE, Action.REMOVE},
    Status.PAUSED: {Action.TOP, Action.COPY, Action.STATS, Action.UNPAUSE},
    Status.RESTARTING: {Action.STATS},
    Status.REMOVING: {Action.COPY, Action.REMOVE},
    Status.EXITED: {Action.START, Action.COPY, Action.REMOVE},
    Status.DEAD: {Action.START, Action.COPY, Action.REMOVE},
}


@pytest.mark.parametrize("status", Status)
def test_what_is_allowed_in_each_state(status: Status) -> None:
    assert {a for a in Action if not refusal(a, status, id="4711")} == ALLOWED[status]


@pytest.mark.parametrize(
    ("action", "status", "message"),
    [
        (Action.EXEC, Status.EXITED, "container 4711 is not running"),
        (
            Action.EXEC,
            Status.PAUSED,
            "Container 4711 is paused, unpause the container before exec",
        ),
        (
            Action.REMOVE,
            Status.RUNNING,
            'cannot remove container "/web": container is running: '
            "stop the container before removing or force remove",
        ),
        (Action.ATTACH, Status.DEAD, "You cannot attach to a stopped container, start it first"),
    ],
)
def test_a_refusal_has_dockers_words(action: Action, status: Status, message: str) -> None:
    with pytest.raises(Conflict) as raised:
        check(action, status, id="4711", name="web")
    assert raised.value.message == message
