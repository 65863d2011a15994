"""Sizes and times, read and written as Docker does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic.commands.output.table import ellipsis, layout
from dockmagic.commands.units import (
    binary_size,
    decimal_size,
    parse_cpus,
    parse_seconds,
    parse_size,
    parse_swap,
)
from dockmagic_runtime.model.times import ago, human_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1), ("1b", 1), ("1k", 1024), ("1K", 1024), ("64m", 64 << 20), ("64MiB", 64 << 20),
        ("64mb", 64 << 20), ("1.5g", 3 << 29), ("1t", 1 << 40), ("2 gb", 2 << 30),
    ],
)  # fmt: skip
def test_sizes_are_powers_of_1024(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "abc", "-1", "1 2", "m", "٣", "1e3", "0x1"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        parse_size(text)


def test_swap_may_be_without_limit() -> None:
    assert (parse_swap("-1"), parse_swap("1k")) == (-1, 1024)


@pytest.mark.parametrize(("text", "nanos"), [("1", 10**9), ("0.5", 5 * 10**8), ("1.5", 15 * 10**8)])
def test_cpus(text: str, nanos: int) -> None:
    assert parse_cpus(text) == nanos


@pytest.mark.parametrize("text", ["x", "--1", "nan", "inf", "0.0000000001"])
def test_what_is_no_number_of_cpus(text: str) -> None:
    with pytest.raises(ValueError, match=r"rational|precise"):
        parse_cpus(text)


@pytest.mark.parametrize(
    ("size", "decimal", "binary"),
    [
        (0, "0B", "0B"), (999, "999B", "999B"), (1000, "1kB", "1000B"), (1024, "1.02kB", "1KiB"),
        (12_345_678, "12.3MB", "11.77MiB"), (999_999, "1000kB", "976.6KiB"),
        (1 << 30, "1.07GB", "1GiB"), (170_000_000, "170MB", "162.1MiB"),
    ],
)  # fmt: skip
def test_sizes_as_docker_writes_them(size: int, decimal: str, binary: str) -> None:
    assert (decimal_size(size), binary_size(size)) == (decimal, binary)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
        (119, "About a minute"), (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"),
        (5399, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"), (48 * 3600, "2 days"),
        (13 * 86400, "13 days"), (14 * 86400, "2 weeks"), (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"), (729 * 86400, "24 months"), (730 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations_as_docker_says_them(seconds: float, expected: str) -> None:
    assert human_duration(seconds) == expected


def test_what_never_happened_has_no_age() -> None:
    assert ago(0) == "N/A"
    assert ago(940.0, now=1000.0) == "About a minute ago"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=10))
def test_reading_raises_nothing_but_value_error(text: str) -> None:
    for read in (parse_size, parse_swap, parse_cpus):
        try:
            read(text)
        except ValueError:
            pass


def test_columns_as_dockers() -> None:
    assert layout([["A", "B"], ["a long cell", "x"]]) == "A             B\na long cell   x"
    assert layout([["NAME"], ["한글"]]) == "NAME\n한글"
    assert layout([["NAME", "X"], ["한글", "x"]]) == "NAME      X\n한글      x"
    assert layout([]) == ""


def test_a_long_text_ends_with_an_ellipsis() -> None:
    assert ellipsis("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("text", "expected"), [("1m30s", 90), ("300ms", 0.3), ("-5s", -5), ("0", 0), ("1.5h", 5400)]
)
def test_durations(text: str, expected: float) -> None:
    assert parse_seconds(text) == pytest.approx(expected)
