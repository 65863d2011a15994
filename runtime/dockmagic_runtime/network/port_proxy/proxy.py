"""`PortProxy`: every port of one container in one event loop (`supervisor.port_proxy_process`).

It accepts what arrives at a held port and passes it on to the container. Here are the parts put
together; `stream` and `udp` do the work.
"""

from __future__ import annotations

from collections.abc import Iterable

from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.network.port_proxy.held_ports import HeldPort
from dockmagic_runtime.network.port_proxy.stream import StreamProxy
from dockmagic_runtime.network.port_proxy.udp import DatagramProxy


class PortProxy:
    """All proxies of one container. Closing it leaves the held sockets open."""

    def __init__(self, loop: EventLoop, held: Iterable[HeldPort], address: str) -> None:
        self._proxies: list[StreamProxy | DatagramProxy] = []
        for port in held:
            target = address, port.container_port
            if port.protocol == "udp":
                self._proxies.append(DatagramProxy(loop, port.socket, target))
            else:
                self._proxies.append(StreamProxy(loop, port.socket, target, port.protocol))

    def close(self) -> None:
        for proxy in self._proxies:
            proxy.close()
        self._proxies.clear()
