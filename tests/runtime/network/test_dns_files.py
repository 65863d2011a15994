"""`/etc/resolv.conf` and `/etc/hosts` of a container."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.network.dns.files import Resolver, hosts

HOST = """\
# made by somebody
nameserver 127.0.0.1
nameserver 10.1.1.1
nameserver 2001:db8::1
domain old.example
search corp.example example ; and a comment
options ndots:2
options timeout:1
"""


def container(text: str, **flags: tuple[str, ...]) -> str:
    given_flags = {"dns": (), "search": (), "options": (), **flags}
    return str(Resolver.parse(text).for_container(**given_flags))


def test_the_hosts_servers_without_its_loopback_and_ipv6() -> None:
    assert container(HOST) == (
        "nameserver 10.1.1.1\nsearch corp.example example\noptions ndots:2 timeout:1\n"
    )


@pytest.mark.parametrize("text", ["", "nameserver 127.0.0.1\n", "nameserver ::1\n"])
def test_without_a_usable_server_there_are_public_ones(text: str) -> None:
    assert container(text) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_the_flags_replace_what_the_host_says() -> None:
    shown = container(HOST, dns=("1.1.1.1", "::1"), search=("a.b",), options=("rotate",))
    assert shown == "nameserver 1.1.1.1\nnameserver ::1\nsearch a.b\noptions rotate\n"


def test_a_dot_as_search_domain_means_none() -> None:
    assert "search" not in container(HOST, search=(".",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 127.0.0.53\noptions edns0 trust-ad\n", True),
        ("nameserver 127.0.0.53\nnameserver 10.0.0.1\n", False),
        ("nameserver 127.0.0.1\n", False),
        ("", False),
    ],
)
def test_the_stub_of_systemd_resolved_is_recognized(text: str, expected: bool) -> None:
    assert Resolver.parse(text).is_stub is expected


def test_lines_that_say_nothing_are_skipped() -> None:
    assert Resolver.parse("nameserver\n\n  \n#nameserver 1.1.1.1\nsortlist x\n") == Resolver()


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text_is_read_and_what_we_write_is_read_as_written(text: str) -> None:
    resolver = Resolver.parse(text)
    assert Resolver.parse(str(resolver)).servers == resolver.servers


BASE = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def test_a_container_knows_itself() -> None:
    assert hosts("abc", addresses=("172.17.0.2",)) == BASE + "172.17.0.2\tabc\n"


def test_with_a_domain_the_full_name_comes_first() -> None:
    text = hosts("abc", addresses=("172.17.0.2",), domainname="example.org")
    assert text == BASE + "172.17.0.2\tabc.example.org abc\n"


def test_without_an_address_there_is_loopback_alone() -> None:
    assert hosts("abc") == BASE


def test_extra_hosts_are_added() -> None:
    extra = ("db:10.0.0.9", "six:2001:db8::1", "quoted=[2001:db8::2]", "up:host-gateway")
    text = hosts("abc", addresses=("172.17.0.2",), extra=extra, gateway="172.17.0.1")
    assert text == BASE + (
        "10.0.0.9\tdb\n2001:db8::1\tsix\n2001:db8::2\tquoted\n172.17.0.1\tup\n172.17.0.2\tabc\n"
    )


@pytest.mark.parametrize("extra", ["db", "db:", ":10.0.0.1", ""])
def test_a_malformed_extra_host_is_refused(extra: str) -> None:
    with pytest.raises(InvalidInput, match="bad format for add-host"):
        hosts("abc", extra=(extra,))


def test_host_gateway_without_a_gateway_is_refused() -> None:
    with pytest.raises(InvalidInput, match="host-gateway"):
        hosts("abc", extra=("up:host-gateway",))
