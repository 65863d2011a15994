"""The port proxy for UDP: one connected socket per client, forgotten after a silence.

The answer must come from the address that the client wrote to, which a socket bound to all
addresses would not choose by itself; so each datagram's destination is asked for and remembered.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from dockmagic_runtime.linux.event_loop import READ, EventLoop

_LARGEST = 65535
_BURST = 64  # datagrams per callback
_SILENCE = 90.0  # seconds, as Docker's
_MOST_CLIENTS = 512  # each holds a descriptor; beyond, the longest silent client is forgotten
_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it before 3.14
_CONTROL_SPACE = socket.CMSG_SPACE(20)  # struct in6_pktinfo, the larger of the two

Control = tuple[int, int, bytes]


def _answer_from(control: list[Control]) -> tuple[Control, ...]:
    """The ancillary data that sends an answer from where the question went to."""
    for level, kind, data in control:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # index, local address, header destination: the source to use goes to the second
            index, _, destination = struct.unpack("=i4s4s", data[:12])
            source = struct.pack("=i4s4s", index, destination, bytes(4))
            return ((level, kind, source),)
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return ((level, kind, data),)
    return ()


class UdpClient:
    """One sender, with a socket of its own to the container.

    `seen` is when a datagram last went either way, in seconds of the monotonic clock.
    """

    __slots__ = ("address", "control", "seen", "socket")

    def __init__(self, address: Any, control: tuple[Control, ...], target: tuple[str, int]) -> None:
        self.address = address
        self.control = control
        self.seen = time.monotonic()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(target)


class DatagramProxy:
    """Passes datagrams on between a held port, which the caller owns, and a container."""

    def __init__(self, loop: EventLoop, port: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._port = port
        self._target = target
        # by sender and by the address it wrote to, in order of their last datagram
        self._clients: dict[tuple[Any, tuple[Control, ...]], UdpClient] = {}
        loop.watch(port.fileno(), READ, self._from_outside)

    def _from_outside(self, _events: int) -> None:
        for _ in range(_BURST):
            try:
                data, control, _, address = self._port.recvmsg(_LARGEST, _CONTROL_SPACE)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier answer
            self._forward(data, (address, _answer_from(control)))

    def _forward(self, data: bytes, key: tuple[Any, tuple[Control, ...]]) -> None:
        try:
            client = self._clients.pop(key, None) or self._welcome(*key)
            self._clients[key] = client
            client.seen = time.monotonic()
            client.socket.send(data)
        except OSError:
            pass  # refused, queue full, or no descriptors: UDP may lose a datagram

    def _welcome(self, address: Any, control: tuple[Control, ...]) -> UdpClient:
        self.expire(time.monotonic())
        if len(self._clients) >= _MOST_CLIENTS:
            self._forget(next(iter(self._clients)))
        client = UdpClient(address, control, self._target)
        self._loop.watch(client.socket.fileno(), READ, self._from_container(client))
        return client

    def _from_container(self, client: UdpClient) -> Callable[[int], None]:
        def answer(_events: int) -> None:
            for _ in range(_BURST):
                try:
                    data = client.socket.recv(_LARGEST)
                except BlockingIOError:
                    return
                except OSError:
                    continue  # the container refused an earlier datagram
                client.seen = time.monotonic()
                self._send(data, client)

        return answer

    def _send(self, data: bytes, client: UdpClient) -> None:
        try:
            self._port.sendmsg([data], client.control, 0, client.address)
        except OSError:
            pass  # the client's host refuses, or the queue is full: UDP may lose a datagram

    def expire(self, now: float) -> None:
        """Forget the clients without a datagram in either direction for `_SILENCE`."""
        for key, client in list(self._clients.items()):
            if now - client.seen > _SILENCE:
                self._forget(key)

    def _forget(self, key: tuple[Any, tuple[Control, ...]]) -> None:
        client = self._clients.pop(key)
        self._loop.forget(client.socket.fileno())
        client.socket.close()

    def close(self) -> None:
        self._loop.forget(self._port.fileno())
        for key in list(self._clients):
            self._forget(key)
