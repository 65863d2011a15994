"""What may be written as the goal of a trace, and whom an address reaches."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers import ways
from dockmagic_runtime.errors import InvalidInput


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("localhost:9999", ("localhost", 9999, "tcp")),
        ("http://localhost:9999/", ("localhost", 9999, "tcp")),
        (":53/udp", ("localhost", 53, "udp")),
        ("53/UDP", ("localhost", 53, "udp")),
        ("[::1]:80", ("::1", 80, "tcp")),
        ("web:80", ("web", 80, "tcp")),
    ],
)
def test_a_target_is_a_place_a_port_and_a_protocol(
    target: str, found: tuple[str, int, str]
) -> None:
    assert ways.parse(target) == found


@pytest.mark.parametrize(
    "target", ["", "web", "web:", "web:0", "web:65536", "web:80/icmp", "web:²"]
)
def test_other_words_are_refused_with_what_to_write(target: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ways.parse(target)
    assert "localhost:9999" in caught.value.hint


@given(st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_text_is_understood_or_refused(target: str) -> None:
    try:
        host, port, protocol = ways.parse(target)
    except InvalidInput:
        return
    assert host
    assert 0 < port < 65536
    assert protocol in ways.PROTOCOLS


@pytest.mark.parametrize(
    ("host_ip", "reached", "not_reached"),
    [
        ("0.0.0.0", "127.0.0.1", "::1"),
        ("", "192.0.2.1", "2001:db8::1"),
        ("::", "::1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "192.0.2.1"),
    ],
)
def test_a_port_is_reached_by_the_addresses_it_is_published_on(
    host_ip: str, reached: str, not_reached: str
) -> None:
    assert ways.covers(host_ip, reached)
    assert not ways.covers(host_ip, not_reached)


def test_only_loopback_is_for_this_host_alone() -> None:
    assert [
        one
        for one in ("", "0.0.0.0", "::", "::1", "127.0.0.1", "192.0.2.1")
        if ways.is_outside(one)
    ] == ["", "0.0.0.0", "::", "192.0.2.1"]
