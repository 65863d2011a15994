"""Booleans, integers and durations: what Go's own parsers accept, return and complain of."""

from __future__ import annotations

import pytest

from dockmagic_runtime.model.go_values import (
    duration_text,
    parse_bool,
    parse_duration,
    parse_int,
    parse_uint,
    quote,
)


def test_booleans_are_gos_twelve_words() -> None:
    assert all(map(parse_bool, ("1", "t", "T", "TRUE", "true", "True")))
    assert not any(map(parse_bool, ("0", "f", "F", "FALSE", "false", "False")))
    for text in ("", "yes", "tRUE", " true", "2"):
        with pytest.raises(ValueError, match=r"strconv\.ParseBool: .*: invalid syntax"):
            parse_bool(text)


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("12", 10, 12), ("-12", 10, -12), ("+7", 10, 7), ("007", 10, 7), ("0x1f", 0, 31),
        ("-0b11", 0, -3), ("017", 0, 15), ("0o17", 0, 15), ("1_000", 0, 1000), ("00", 0, 0),
        ("9223372036854775807", 0, (1 << 63) - 1), ("-9223372036854775808", 10, -(1 << 63)),
    ],
)  # fmt: skip
def test_integers(text: str, base: int, expected: int) -> None:
    assert parse_int(text, base) == expected


@pytest.mark.parametrize(
    ("text", "base", "reason"),
    [
        ("", 0, "invalid syntax"), ("-", 0, "invalid syntax"), ("1_000", 10, "invalid syntax"),
        ("--1", 0, "invalid syntax"), (" 1", 0, "invalid syntax"), ("٣", 0, "invalid syntax"),
        ("08", 0, "invalid syntax"), ("0x1f", 10, "invalid syntax"), ("_1", 0, "invalid syntax"),
        ("9223372036854775808", 0, "value out of range"), ("1" * 9999, 0, "value out of range"),
    ],
)  # fmt: skip
def test_what_is_no_integer_in_gos_words(text: str, base: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_int(text, base)
    assert str(caught.value) == f'strconv.ParseInt: parsing "{text}": {reason}'


def test_unsigned_integers_take_no_sign_and_have_a_width() -> None:
    assert parse_uint("65535", 0, 16) == 65535
    for text, reason in (("65536", "value out of range"), ("-1", "invalid syntax")):
        with pytest.raises(ValueError, match=reason):
            parse_uint(text, 0, 16)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0), ("-0", 0), ("1m30s", 90 * 10**9), ("300ms", 3 * 10**8), ("-5s", -5 * 10**9),
        ("1.5h", 5400 * 10**9), (".5s", 5 * 10**8), ("1.s", 10**9), ("1us", 1000), ("1µs", 1000),
        ("0.000000001s", 1), ("-9223372036854775808ns", -(1 << 63)),
        ("2562047h47m16.854775807s", (1 << 63) - 1),
    ],
)  # fmt: skip
def test_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", 'invalid duration ""'), ("abc", 'invalid duration "abc"'),
        (".s", 'invalid duration ".s"'), ("5", 'missing unit in duration "5"'),
        ("1h2", 'missing unit in duration "1h2"'), ("1..5s", 'missing unit in duration "1..5s"'),
        ("5x", 'unknown unit "x" in duration "5x"'), ("1d2h", 'unknown unit "d" in duration'),
        ("9223372036854775808ns", "invalid duration"),
        ("3000000h", "invalid duration"), ("99999999999999999999s", "invalid duration"),
    ],
)  # fmt: skip
def test_what_is_no_duration_in_gos_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="time: ") as caught:
        parse_duration(text)
    assert str(caught.value).startswith(f"time: {complaint}")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (2 * 10**6, "2ms"), (10**9, "1s"),
        (90 * 10**9, "1m30s"), (3600 * 10**9, "1h0m0s"), (-1500 * 10**6, "-1.5s"),
    ],
)  # fmt: skip
def test_the_text_of_a_duration(nanoseconds: int, text: str) -> None:
    assert duration_text(nanoseconds) == text
    assert parse_duration(text) == nanoseconds


def test_quoting_as_go_does() -> None:
    assert quote('a"b\\\n\x01\x7fü') == '"a\\"b\\\\\\n\\x01\\x7fü"'
    assert quote("\udcff") == '"\\xff"'
