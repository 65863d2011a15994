from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.registry.retry import Retries, RetryPolicy, retry_after, retrying_in

from .conftest import Pauses


def test_waits_double_up_to_the_longest(pauses: Pauses) -> None:
    retries = Retries(RetryPolicy(attempts=8, first=1, longest=10), pauses)
    for _ in range(7):
        retries.failed(RemoteFailed("x"))
    assert pauses == [1, 2, 4, 8, 10, 10, 10]
    with pytest.raises(RemoteFailed):
        retries.failed(RemoteFailed("x"))


def test_success_begins_the_count_again(pauses: Pauses) -> None:
    retries = Retries(RetryPolicy(attempts=2, first=1), pauses)
    for _ in range(5):
        retries.failed(RemoteFailed("x"))
        retries.succeeded()
    assert pauses == [1] * 5


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, 0), ("", 0), ("12", 12), ("soon", 0), ("-3", 0), ("1e9", 0)]
)
def test_retry_after_is_read(value: str | None, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 90 < retry_after(formatdate(time() + 100, usegmt=True)) <= 100
    assert retry_after(formatdate(time() - 100, usegmt=True)) == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 second"), (1, "1 second"), (1.5, "2 seconds")]
)
def test_a_pause_is_reported_in_dockers_words(seconds: float, text: str) -> None:
    assert retrying_in(seconds) == f"Retrying in {text}"
