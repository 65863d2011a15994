"""The upstream servers of a container's DNS server, and the namespace they are asked from."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

import pytest

from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.network.dns.forwarder import Server
from dockmagic_runtime.network.dns.server import Sockets
from dockmagic_runtime.network.dns.upstreams import HostServers, of_flags, of_host

from .conftest import in_namespace, new_namespace, own_namespace

_SIOCGSKNS = 0x894C  # linux/sockios.h: a descriptor of the namespace that a socket is in


def test_the_hosts_servers_are_asked_from_the_container() -> None:
    text = "nameserver 192.0.2.53\nnameserver 192.0.2.54\n"
    assert of_host(text, "") == (Server("192.0.2.53"), Server("192.0.2.54"))


def test_what_only_the_host_reaches_is_asked_from_the_host() -> None:
    servers = of_host("nameserver 127.0.0.1\nnameserver 2001:db8::53\n", "")
    assert servers == (Server("127.0.0.1", on_host=True), Server("2001:db8::53", on_host=True))


def test_behind_systemds_stub_are_the_real_ones() -> None:
    stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\n"
    assert of_host(stub, "nameserver 192.0.2.53\n") == (Server("192.0.2.53"),)
    assert of_host(stub, "") == (Server("127.0.0.53", on_host=True),)


def test_without_any_there_are_dockers_public_ones() -> None:
    assert [server.address for server in of_host("", "")] == ["8.8.8.8", "8.8.4.4"]


def test_given_ones_are_asked_as_a_program_in_the_container_would() -> None:
    assert of_flags(("127.0.0.1", "192.0.2.1")) == (Server("127.0.0.1"), Server("192.0.2.1"))


def test_when_the_host_joins_another_network_its_new_servers_are_asked(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.53\n")
    servers = HostServers(str(path), str(tmp_path / "none"))
    assert servers() == (Server("192.0.2.53"),)
    path.write_text("nameserver 192.0.2.99\n")
    os.utime(path, ns=(1, 1))
    assert servers() == (Server("192.0.2.99"),)


def _namespace_of(opened: socket.socket) -> int:
    fd = fcntl.ioctl(opened, _SIOCGSKNS)
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def _sockets(container: int) -> list[int]:
    sockets = Sockets(Kernel(), container)
    places = [Server("192.0.2.53"), Server("127.0.0.1", on_host=True), Server("192.0.2.53")]
    namespaces = []
    for place in places:
        with sockets.open(place, socket.SOCK_DGRAM) as opened:
            namespaces.append(_namespace_of(opened))
    return namespaces


@pytest.mark.root
@pytest.mark.network
def test_sockets_are_in_the_containers_namespace_and_for_the_hosts_loopback_in_its() -> None:
    host = own_namespace()
    with new_namespace() as container:
        inside, outside = os.fstat(container).st_ino, os.fstat(host).st_ino
        assert in_namespace(host, _sockets, container) == [inside, outside, inside]
    os.close(host)
