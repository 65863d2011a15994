"""`docker port`: where a container's ports are published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.options.ports import parse_number
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.container import PortMapping

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="port",
        usage="CONTAINER [PRIVATE_PORT[/PROTO]]",
        summary="List port mappings or a specific mapping for the container",
        minimum=1,
        maximum=2,
    )


class Ports(Result, frozen=True):
    """What is published; of one port only its addresses are shown."""

    ports: tuple[PortMapping, ...]
    of_one: bool = False

    def text(self) -> str:
        return "\n".join(
            _address(port) if self.of_one else f"{_private(port)} -> {_address(port)}"
            for port in self.ports
        )

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "container_port": port.container_port,
                "protocol": port.protocol,
                "host_ip": port.host_ip or "0.0.0.0",
                "host_port": port.host_port,
            }
            for port in self.ports
        ]

    def __len__(self) -> int:
        return len(self.ports)


def _private(port: PortMapping) -> str:
    return f"{port.container_port}/{port.protocol}"


def _address(port: PortMapping) -> str:
    host = port.host_ip or "0.0.0.0"
    return f"[{host}]:{port.host_port}" if ":" in host else f"{host}:{port.host_port}"


def run(engine: EngineApi, arguments: Arguments) -> Ports:
    name, *wanted = arguments.words
    published = [port for port in engine.containers.get(name).ports if port.host_port]
    published.sort(key=lambda port: (port.container_port, port.protocol, port.host_ip))
    if not any(wanted):
        return Ports(tuple(published))
    private = _parse(wanted[0])
    mapped = tuple(port for port in published if _private(port) == private)
    if not mapped:
        raise NotFound(f"No public port '{wanted[0]}' published for {name}")
    return Ports(mapped, of_one=True)


def _parse(text: str) -> str:
    number, _, protocol = text.partition("/")
    return f"{parse_number(number, f'invalid port ({number})')}/{protocol or 'tcp'}"
