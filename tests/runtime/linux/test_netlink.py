"""The netlink codec on its own, and the socket against the kernel."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.linux import netlink as nl
from dockmagic_runtime.linux.constants import CLONE_NEWNET
from dockmagic_runtime.linux.syscalls import Kernel

RTM_GETLINK, RTM_NEWLINK, RTM_DELLINK = 18, 16, 17
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND = 3, 18, 1
NFT_NEWTABLE, NFT_GETTABLE = 10 << 8, 10 << 8 | 1

attribute_lists = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=50)), max_size=8)


@given(attribute_lists)
@settings(max_examples=100, deadline=None)
def test_attributes_survive_encoding(items: list[tuple[int, bytes]]) -> None:
    encoded = b"".join(nl.attribute(kind, payload) for kind, payload in items)
    assert len(encoded) % 4 == 0
    assert list(nl.walk(encoded)) == items


def _read_or_refused(read: Callable[[bytes], Iterable[object]], data: bytes) -> list[object]:
    try:
        return list(read(data))
    except OSError as error:
        if error.errno != errno.EBADMSG:
            raise
        return []


@given(st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_as_attributes_or_refused(data: bytes) -> None:
    assert len(_read_or_refused(nl.walk, data)) <= len(data) // 4


@given(st.binary(max_size=96))
@settings(max_examples=200, deadline=None)
def test_any_datagram_is_read_as_messages_or_refused(data: bytes) -> None:
    assert len(_read_or_refused(nl.parse, data)) <= len(data) // 16


def test_an_attribute_longer_than_the_message_is_refused() -> None:
    with pytest.raises(OSError, match="attribute of 9 bytes"):
        list(nl.walk(struct.pack("=HH", 9, 1) + b"abcd"))


def test_nested_attributes_carry_the_flag_and_are_read_without_it() -> None:
    encoded = nl.nested(5, nl.u8(1, 7), nl.text(2, "ab"))
    assert struct.unpack_from("=HH", encoded) == (4 + 8 + 8, 5 | nl.NLA_F_NESTED)
    ((kind, inner),) = nl.walk(encoded)
    assert kind == 5
    assert nl.attributes(inner) == {1: b"\x07", 2: b"ab\0"}


def test_netfilter_numbers_are_big_endian_and_route_numbers_native() -> None:
    assert nl.be32(1, 1)[4:] == b"\0\0\0\1"
    assert nl.u32(1, 1)[4:] == struct.pack("=I", 1)


@pytest.mark.parametrize("name", ["pathlib", "ipaddress", "dataclasses", "ctypes", "pyroute2"])
def test_importing_it_brings_nothing_heavy_along(name: str) -> None:
    program = (
        "import sys, socket, struct; import dockmagic_runtime; before = set(sys.modules);"
        "import dockmagic_runtime.linux.netlink;"
        f"assert {name!r} not in set(sys.modules) - before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# against the kernel -----------------------------------------------------------------------------

kernel = pytest.mark.root


@pytest.fixture
def namespace() -> object:
    """The test runs in a network namespace of its own."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    Kernel().unshare(CLONE_NEWNET)
    try:
        yield
    finally:
        Kernel().setns(before, CLONE_NEWNET)
        os.close(before)


def _get(name: str) -> nl.Message:
    return nl.Message(RTM_GETLINK, bytes(16) + nl.text(IFLA_IFNAME, name), what=f"look at {name}")


def _bridge(name: str) -> nl.Message:
    kind = nl.nested(IFLA_LINKINFO, nl.text(IFLA_INFO_KIND, "bridge"))
    payload = bytes(16) + nl.text(IFLA_IFNAME, name) + kind
    flags = nl.NLM_F_CREATE | nl.NLM_F_EXCL
    return nl.Message(RTM_NEWLINK, payload, flags=flags, what=f"create {name}")


def _names(netlink: nl.Netlink) -> list[str]:
    listed = netlink.dump(nl.Message(RTM_GETLINK, bytes(16)))
    link_names = [nl.attributes(answer.payload, 16)[IFLA_IFNAME] for answer in listed]
    return [nl.as_text(name) for name in link_names]


@kernel
@pytest.mark.usefixtures("namespace")
def test_one_send_carries_a_whole_batch_and_its_answers_come_in_order() -> None:
    with nl.Netlink() as netlink:
        answers = netlink.transact(_bridge("one"), _get("one"), _bridge("two"), _get("two"))
        names = [nl.as_text(nl.attributes(a.payload, 16)[IFLA_IFNAME]) for a in answers]
    assert names == ["one", "two"]


@kernel
@pytest.mark.usefixtures("namespace")
def test_an_error_names_the_message_that_failed() -> None:
    with nl.Netlink() as netlink, pytest.raises(OSError, match="look at missing0") as caught:
        netlink.transact(_bridge("one"), _get("missing0"), _get("one"))
    assert caught.value.errno == errno.ENODEV
    assert os.strerror(errno.ENODEV) in str(caught.value)


@kernel
@pytest.mark.usefixtures("namespace")
def test_the_kernels_own_words_are_part_of_the_error() -> None:
    payload = bytes(16) + nl.nested(IFLA_LINKINFO, nl.text(IFLA_INFO_KIND, "no-such-kind"))
    wanted = nl.Message(RTM_NEWLINK, payload, flags=nl.NLM_F_CREATE, what="create a thing")
    with nl.Netlink() as netlink, pytest.raises(OSError, match=r"create a thing: .*: Unknown"):
        netlink.transact(wanted)


@kernel
@pytest.mark.usefixtures("namespace")
def test_allowed_errors_are_no_errors_and_the_rest_is_carried_out() -> None:
    with nl.Netlink() as netlink:
        netlink.transact(_bridge("one"), _bridge("one"), _bridge("two"), allow=(errno.EEXIST,))
        assert {"one", "two"} <= set(_names(netlink))


@kernel
@pytest.mark.usefixtures("namespace")
def test_after_an_error_the_socket_is_as_good_as_new() -> None:
    with nl.Netlink() as netlink:
        for _ in range(3):
            with pytest.raises(OSError, match="missing"):
                netlink.transact(_get("missing0"), _get("missing1"), _get("missing2"))
            (answer,) = netlink.transact(_get("lo"))
            assert nl.attributes(answer.payload, 16)[IFLA_IFNAME] == b"lo\0"


@kernel
@pytest.mark.usefixtures("namespace")
def test_a_dump_lists_everything_however_much_it_is() -> None:
    wanted = [f"dummy{number:03}" for number in range(100)]
    with nl.Netlink() as netlink:
        netlink.transact(*map(_bridge, wanted))
        assert set(wanted) <= set(_names(netlink))


def _table(name: str) -> nl.Message:
    payload = struct.pack(">BBH", socket.AF_INET, 0, 0) + nl.text(1, name)
    flags = nl.NLM_F_CREATE | nl.NLM_F_EXCL
    return nl.Message(NFT_NEWTABLE, payload, flags=flags, what=f"create table {name}")


def _tables(netlink: nl.Netlink) -> set[str]:
    asked = nl.Message(NFT_GETTABLE, struct.pack(">BBH", socket.AF_INET, 0, 0))
    return {nl.as_text(nl.attributes(a.payload, 4)[1]) for a in netlink.dump(asked)}


@kernel
@pytest.mark.usefixtures("namespace")
def test_a_netfilter_batch_happens_as_a_whole_or_not_at_all() -> None:
    with nl.Netlink(nl.NETLINK_NETFILTER) as netlink:
        netlink.transact_batch(10, _table("one"), _table("two"))
        with pytest.raises(FileExistsError, match="create table two"):
            netlink.transact_batch(10, _table("three"), _table("two"), _table("four"))
        assert _tables(netlink) == {"one", "two"}


@kernel
@pytest.mark.usefixtures("namespace")
def test_a_netfilter_batch_of_another_generation_is_refused() -> None:
    get_generation = nl.Message(10 << 8 | 16, struct.pack(">BBH", 0, 0, 0))
    with nl.Netlink(nl.NETLINK_NETFILTER) as netlink:
        (answer,) = netlink.transact(get_generation)
        now = int.from_bytes(nl.attributes(answer.payload, 4)[1], "big")
        netlink.transact_batch(10, _table("one"), generation=now)
        with pytest.raises(OSError, match="two") as caught:
            netlink.transact_batch(10, _table("two"), generation=now)
        assert caught.value.errno == errno.ERESTART
        assert _tables(netlink) == {"one"}


@kernel
@pytest.mark.usefixtures("namespace")
def test_a_batch_larger_than_the_send_buffer_goes_through() -> None:
    with nl.Netlink(nl.NETLINK_NETFILTER) as netlink:
        names = [f"{'x' * 200}{number}" for number in range(3000)]
        netlink.transact_batch(10, *map(_table, names))
        assert _tables(netlink) == set(names)


@kernel
def test_a_socket_of_another_namespace_speaks_for_that_namespace() -> None:
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        Kernel().unshare(CLONE_NEWNET)
        descriptor = nl.open_for_others()
        Kernel().setns(before, CLONE_NEWNET)
        assert not os.get_inheritable(descriptor)
        for _ in range(2):  # it stays its owner's: closing ours does not close it
            with nl.Netlink(descriptor=descriptor) as netlink:
                assert "eth0" not in _names(netlink)
                assert "lo" in _names(netlink)
        with nl.Netlink(descriptor=descriptor) as netlink:
            netlink.transact(_bridge("inside0"))
            assert "inside0" in _names(netlink)
        with nl.Netlink() as netlink:
            assert "inside0" not in _names(netlink)
        os.close(descriptor)
    finally:
        os.close(before)
