"""Ports and ranges of ports, read as Docker's libraries do."""

from __future__ import annotations

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.ports import expand_ports, parse_port, parse_port_range


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", range(80, 81)),
        ("8000-8002", range(8000, 8003)),
        ("0", range(1)),
        ("1-2-3", range(1, 3)),  # Docker's parser reads the first two
    ],
)
def test_a_range_has_both_its_ends(text: str, expected: range) -> None:
    assert parse_port_range(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty string specified for ports"),
        ("9-8", "invalid range specified for port: 9-8"),
        ("a", 'strconv.ParseUint: parsing "a": invalid syntax'),
        ("1-", 'strconv.ParseUint: parsing "": invalid syntax'),
        ("-1", 'strconv.ParseUint: parsing "": invalid syntax'),
        ("+1", 'strconv.ParseUint: parsing "+1": invalid syntax'),
        ("65536", 'strconv.ParseUint: parsing "65536": value out of range'),
        ("٨٠", 'strconv.ParseUint: parsing "٨٠": invalid syntax'),
    ],
)
def test_what_is_no_range_is_refused_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared whole
        parse_port_range(text)
    assert str(caught.value) == message


def test_the_highest_port() -> None:
    assert parse_port("65535") == 65535


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ("80/tcp",)),
        ("80/", ("80/tcp",)),
        ("53/UDP", ("53/udp",)),
        ("7-9/sctp", ("7/sctp", "8/sctp", "9/sctp")),
    ],
)
def test_ports_are_expanded_to_the_names_in_a_config(text: str, expected: tuple[str, ...]) -> None:
    assert expand_ports(text) == expected


def test_port_0_is_refused() -> None:
    with pytest.raises(ValueError, match="port 0"):
        expand_ports("0")


def test_an_unknown_protocol_is_refused_as_written() -> None:
    with pytest.raises(InvalidInput, match="invalid proto: Foo"):
        expand_ports("80/Foo")
