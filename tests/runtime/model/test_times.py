"""Points in time as Docker's flags write them."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic_runtime.model.times import duration, parse_moment

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("1.5s", NOW - 1.5),
        ("-10m", NOW + 600),
        ("0", 0.0),
        ("1699999999", 1_699_999_999.0),
        ("1699999999.5", 1_699_999_999.5),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20.123456789Z", NOW + 0.123456),
        ("2023-11-14T23:13:20+01:00", NOW),
    ],
)
def test_moments(text: str, expected: float) -> None:
    assert parse_moment(text, NOW) == pytest.approx(expected)


def test_a_date_without_a_zone_is_this_machines() -> None:
    assert parse_moment("2023-11-14") == time.mktime((2023, 11, 14, 0, 0, 0, 0, 0, -1))
    assert parse_moment("2023-11-14T10:00") == time.mktime((2023, 11, 14, 10, 0, 0, 0, 0, -1))


@pytest.mark.parametrize("text", ["", "soon", "10x", "m10", "2023-13-01", "1h30"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="failed to parse value as time or duration"):
        parse_moment(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text(max_size=12))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_moment(text, NOW), float)
