"""The container's `/etc/hosts`."""

from __future__ import annotations

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.network.etc import hosts

BASE = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def test_a_container_has_a_line_for_itself() -> None:
    assert hosts.text("abc", addresses=("172.17.0.2",)) == BASE + "172.17.0.2\tabc\n"


def test_with_a_domain_the_full_name_comes_first() -> None:
    text = hosts.text("abc", addresses=("172.17.0.2",), domainname="example.org")
    assert text == BASE + "172.17.0.2\tabc.example.org abc\n"


def test_without_an_address_there_is_loopback_alone() -> None:
    assert hosts.text("abc") == BASE


def test_extra_hosts_are_added() -> None:
    extra = ("db:10.0.0.9", "six:2001:db8::1", "quoted=[2001:db8::2]", "up:host-gateway")
    text = hosts.text("abc", addresses=("172.17.0.2",), extra=extra, gateway="172.17.0.1")
    assert text == BASE + (
        "10.0.0.9\tdb\n2001:db8::1\tsix\n2001:db8::2\tquoted\n172.17.0.1\tup\n172.17.0.2\tabc\n"
    )


@pytest.mark.parametrize("extra", ["db", "db:", ":10.0.0.1", ""])
def test_a_malformed_extra_host_is_refused(extra: str) -> None:
    with pytest.raises(InvalidInput, match="bad format for add-host"):
        hosts.text("abc", extra=(extra,))


def test_host_gateway_without_a_gateway_is_refused() -> None:
    with pytest.raises(InvalidInput, match="host-gateway"):
        hosts.text("abc", extra=("up:host-gateway",))
