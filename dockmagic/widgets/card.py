"""One container or one image, as a header in the frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dockmagic.commands.container.ps import image_text as shown_image
from dockmagic.commands.output.result import is_named
from dockmagic.commands.references import familiar, name_of
from dockmagic.commands.units import decimal_size
from dockmagic.widgets.frame import State, frame, pill, state_of
from dockmagic.widgets.html import Markup, tag
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.container import Container, PortMapping
from dockmagic_runtime.model.container_texts import status_text
from dockmagic_runtime.model.image import Image

_EVERYWHERE = ("", "0.0.0.0", "::", "127.0.0.1", "::1")


def container_state(container: Container) -> State:
    return state_of(str(container.status), container.exit_code)


def container_card(container: Container, *, deterministic: bool) -> Markup:
    name = container.name if is_named(container) or not deterministic else "container"
    facts: list[Any] = [plain(status_text(container, with_times=not deterministic))]
    facts += [port_link(port) for port in published(container)]
    if not deterministic:
        facts += [container.ip_address, tag("span", container.short_id, class_="dm-mono")]
    return frame(name, state=container_state(container), image=shown_image(container), facts=facts)


def container_text(container: Container) -> str:
    """One line, with all that the card has."""
    ports = ", ".join(str(port) for port in container.ports if port.host_port)
    parts = (
        container.name, shown_image(container), status_text(container), ports,
        container.short_id,
    )  # fmt: skip
    return "  ".join(filter(None, parts))


def published(container: Container) -> Iterator[PortMapping]:
    """One for each host port: it is bound for IPv4 and IPv6."""
    if not container.status.is_alive:
        return
    yield from {p.host_port: p for p in reversed(container.ports) if p.host_port}.values()


def port_text(port: PortMapping) -> str:
    """`:9999→80`, with the address where it is not open to all."""
    host = "" if port.host_ip in ("", "0.0.0.0", "::") else port.host_ip
    protocol = "" if port.protocol == "tcp" else f"/{port.protocol}"
    return f"{host}:{port.host_port}→{port.container_port}{protocol}"


def port_address(port: PortMapping) -> str:
    """Where a browser may reach it: the notebook's server is often this machine. The live views
    replace `localhost` by the page's own host."""
    host = "localhost" if port.host_ip in _EVERYWHERE else port.host_ip
    return f"http://{f'[{host}]' if ':' in host else host}:{port.host_port}/"


def port_link(port: PortMapping) -> Markup:
    if port.protocol != "tcp":
        return tag("span", port_text(port))
    return tag(
        "a", port_text(port), href=port_address(port), target="_blank", rel="noopener",
        class_="dm-link",
    )  # fmt: skip


def image_card(image: Image, *, deterministic: bool) -> Markup:
    names = [familiar(name) for name in image.tags[1:]]
    layers = len(image.diff_ids)
    facts: list[Any] = [", ".join(names), f"{layers} layer{'' if layers == 1 else 's'}"]
    if not deterministic:
        facts += [
            decimal_size(image.size),
            tag("span", image.short_id, class_="dm-mono"),
        ]
    if image.is_stand_in:
        facts.append(pill("stand-in", "warn"))
    return frame(name_of(image), facts=facts)


def image_text(image: Image, name: str) -> str:
    return f"{name}  {decimal_size(image.size)}  {image.short_id}"
