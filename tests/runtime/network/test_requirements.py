"""On hosts without what networks need, one line says so, and what works all the same."""

from __future__ import annotations

import errno
import os

import pytest

from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.network import bridge
from dockmagic_runtime.network.nftables import ruleset
from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.network.operations import ensure_table
from dockmagic_runtime.network.requirements import (
    needs_bridges,
    needs_forwarding,
    needs_nftables,
    needs_sysctl,
)
from dockmagic_runtime.sandbox.namespaces import Unshare
from dockmagic_runtime.sandbox.operation import Context
from dockmagic_runtime.testing.fake_linux import FakeLinux

FORWARD = "/proc/sys/net/ipv4/ip_forward"
KNOWN = BridgeConfig(bridge="br0", subnet="10.0.0.0/24")


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_forwarding_that_cannot_be_switched_on(number: int) -> None:
    with pytest.raises(Unsupported) as caught, needs_forwarding(FORWARD):
        raise refused(number)
    assert "net.ipv4.ip_forward cannot be set" in caught.value.message
    assert "--internal" in caught.value.hint


def test_an_interface_that_cannot_be_set_up() -> None:
    path = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"
    with pytest.raises(Unsupported) as caught, needs_sysctl(path):
        raise refused(errno.EROFS)
    assert f"Read-only file system ({path})" in caught.value.message
    assert "--network host and --network none work" in caught.value.hint
    with pytest.raises(FileNotFoundError), needs_sysctl(path):
        raise refused(errno.ENOENT)


def test_forwarding_that_is_on_is_not_touched() -> None:
    linux = FakeLinux(files={FORWARD: b"1\n"})
    linux.fail("write_file", errno.EROFS)
    bridge._forward(linux, FORWARD)
    assert "write_file" not in linux.names()
    linux = FakeLinux(files={FORWARD: b"0\n"})
    linux.fail("write_file", errno.EROFS)
    with pytest.raises(Unsupported, match="does not forward packets"):
        bridge._forward(linux, FORWARD)


def test_accepting_interfaces_go_on_accepting_when_ipv6_is_forwarded() -> None:
    conf = "/proc/sys/net/ipv6/conf"
    before = {"all": b"1", "default": b"1", "eth0": b"1", "eth1": b"0", "br0": b"2"}
    linux = FakeLinux(files={f"{conf}/{name}/accept_ra": text for name, text in before.items()})
    linux.files[f"{conf}/all/forwarding"] = b"0\n"
    linux.directories |= {conf, *(f"{conf}/{name}" for name in before)}
    bridge._forward6(linux)
    after = {name: linux.files[f"{conf}/{name}/accept_ra"] for name in before}
    assert after == {**before, "eth0": b"2"}
    assert linux.files[f"{conf}/all/forwarding"] == b"1"
    linux.files[f"{conf}/eth0/accept_ra"] = b"1"
    bridge._forward6(linux)  # it forwards already: that is as its owner wants it
    assert linux.files[f"{conf}/eth0/accept_ra"] == b"1"


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EOPNOTSUPP, "--network host and --network none work"),
        (errno.ENOENT, "modprobe -a nf_tables"),
        (errno.EPERM, "it takes CAP_NET_ADMIN; --network host works without"),
    ],
)
def test_a_kernel_without_nftables(number: int, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(*_arguments: object) -> bool:
        raise refused(number)

    monkeypatch.setattr(ruleset, "ensure", ensure)
    with Netlink(NETLINK_NETFILTER) as netlink, pytest.raises(Unsupported) as caught:
        ensure_table(netlink, "t", KNOWN, "/nowhere", "/nowhere")
    assert "no nftables with address translation" in caught.value.message
    assert hint in caught.value.hint


def test_a_host_without_the_right_to_create_bridges() -> None:
    with pytest.raises(Unsupported) as caught, needs_bridges("br0"):
        raise OSError(
            errno.EROFS, os.strerror(errno.EROFS), "/proc/sys/net/ipv6/conf/br0/accept_ra"
        )
    assert caught.value.message == (
        "this host does not let us make bridge br0: Read-only file system "
        "(/proc/sys/net/ipv6/conf/br0/accept_ra)"
    )


def test_other_failures_keep_their_words() -> None:
    for needs in (needs_nftables(), needs_forwarding(FORWARD)):
        with pytest.raises(OSError, match="No space"), needs:
            raise refused(errno.ENOSPC)


def test_a_host_without_network_namespaces_differs_from_one_without_any() -> None:
    linux = FakeLinux()
    linux.fail("unshare", errno.ENOSPC)
    with pytest.raises(Unsupported, match="gives no network namespace") as caught:
        Unshare(("mnt", "net")).execute(Context(linux))
    assert "--network host" in caught.value.hint
    linux = FakeLinux()
    linux.fail("unshare", errno.EPERM)
    linux.fail("unshare", errno.EPERM, on_call=2)
    with pytest.raises(PermissionError):
        Unshare(("mnt", "net")).execute(Context(linux))
