"""The container's `/etc/resolv.conf`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.network.etc.resolv_conf import ResolvConf

HOST = """\
# written by an administrator
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
    return str(ResolvConf.parse(text).for_container(**given_flags))


def test_the_hosts_servers_without_its_loopback_and_ipv6() -> None:
    assert container(HOST) == (
        "nameserver 10.1.1.1\nsearch corp.example example\noptions ndots:2 timeout:1\n"
    )


@pytest.mark.parametrize("text", ["", "nameserver 127.0.0.1\n", "nameserver ::1\n"])
def test_without_a_usable_server_there_are_public_ones(text: str) -> None:
    assert container(text) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_the_flags_replace_the_hosts_settings() -> None:
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
    assert ResolvConf.parse(text).is_stub is expected


def test_lines_without_a_setting_are_skipped() -> None:
    assert ResolvConf.parse("nameserver\n\n  \n#nameserver 1.1.1.1\nsortlist x\n") == ResolvConf()


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text_is_read_and_what_we_write_is_read_as_written(text: str) -> None:
    conf = ResolvConf.parse(text)
    assert ResolvConf.parse(str(conf)).servers == conf.servers
