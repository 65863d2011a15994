from __future__ import annotations

import pytest

from dockmagic_runtime.supervisor.restarts import Restarts


def test_waits_double_from_a_tenth_of_a_second_to_a_minute() -> None:
    restarts = Restarts("always")
    waits = [restarts.after(1, 0.0, by_hand=False) for _ in range(12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-2:] == [60.0, 60.0]
    assert restarts.count == 12


def test_ten_seconds_of_life_begin_anew() -> None:
    restarts = Restarts("always")
    for _ in range(5):
        restarts.after(1, 0.0, by_hand=False)
    assert restarts.after(1, 10.0, by_hand=False) == 0.1
    assert restarts.after(1, 9.9, by_hand=False) == 0.2


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("no", 1, False),
        ("no", 0, False),
        ("on-failure", 1, True),
        ("on-failure", 0, False),
        ("always", 0, True),
        ("unless-stopped", 0, True),
    ],
)
def test_policies(policy: str, code: int, again: bool) -> None:
    assert (Restarts(policy).after(code, 0.0, by_hand=False) is not None) is again


@pytest.mark.parametrize("policy", ["on-failure", "always", "unless-stopped"])
def test_nothing_comes_back_that_was_stopped_by_hand(policy: str) -> None:
    restarts = Restarts(policy)
    assert restarts.after(1, 0.0, by_hand=True) is None
    assert restarts.count == 0


def test_on_failure_counts_to_its_maximum() -> None:
    restarts = Restarts("on-failure", 2)
    assert [restarts.after(1, 60.0, by_hand=False) for _ in range(3)] == [0.1, 0.1, None]
