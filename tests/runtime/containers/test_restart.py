from __future__ import annotations

import pytest
from msgspec.structs import replace

from dockmagic_runtime.containers.lifecycle.restart import survives_boot, survives_loss
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.model.container import RestartPolicy
from dockmagic_runtime.supervisor.state import State

from .test_health import record

EXITED = State(status="exited", exit_code=137, started=1, finished=100)


def with_policy(name: str) -> Record:
    new = record(None)
    return replace(new, spec=replace(new.spec, restart=RestartPolicy(name=name, maximum=3)))


@pytest.mark.parametrize(
    ("policy", "survives"),
    [("no", False), ("on-failure", True), ("always", True), ("unless-stopped", True)],
)
def test_a_loss_is_an_end_with_137(policy: str, survives: bool) -> None:
    assert survives_loss(with_policy(policy), EXITED) is survives


def test_a_loss_is_counted() -> None:
    spent = replace(EXITED, restart_count=3)
    assert not survives_loss(with_policy("on-failure"), spent)


@pytest.mark.parametrize(
    ("policy", "by_hand", "survives"),
    [
        ("always", True, True),
        ("always", False, True),
        ("unless-stopped", True, False),
        ("unless-stopped", False, True),
        ("no", False, False),
    ],
)
def test_after_a_reboot(policy: str, by_hand: bool, survives: bool) -> None:
    now = replace(EXITED, manually_stopped=by_hand)
    assert survives_boot(with_policy(policy), now) is survives


def test_what_never_ran_does_not_begin_to_by_a_reboot() -> None:
    assert not survives_boot(with_policy("always"), State())
