"""One container or one image, as a few lines."""

from __future__ import annotations

from dockmagic.commands.container.ps import status_text
from dockmagic.commands.output.result import is_named
from dockmagic.commands.references import familiar, name_of
from dockmagic.commands.units import decimal_size
from dockmagic.widgets.html import GREEN, MONO, MUTED, ORANGE, Markup, badge, join, note, tag
from dockmagic_runtime.model.container import Container, PortMapping
from dockmagic_runtime.model.image import Image


def container_card(container: Container, *, deterministic: bool) -> Markup:
    alive = container.status.is_alive
    name = container.name if is_named(container) or not deterministic else "container"
    facts = [] if deterministic else [container.short_id]
    # One host port is bound for IPv4 and IPv6: one link for both.
    published = {p.host_port: p for p in reversed(container.ports) if p.host_port}
    ports = [_port(port) for port in published.values()]
    if container.ip_address and not deterministic:
        facts.append(container.ip_address)
    state = badge(status_text(container, with_times=False), GREEN if alive else ORANGE)
    return tag(
        "div",
        tag("b", name), " ", state, " ", tag("span", familiar(container.image)), " ",
        *ports,
        tag("span", " ".join(facts), style=f"{MUTED};{MONO}"),
    )  # fmt: skip


def _port(port: PortMapping) -> Markup:
    """A link for what the browser may reach: the notebook's server is often this machine."""
    everywhere = port.host_ip in ("", "0.0.0.0", "::", "127.0.0.1", "::1")
    host = "localhost" if everywhere else port.host_ip
    address = f"http://{f'[{host}]' if ':' in host else host}:{port.host_port}/"
    return join([tag("a", str(port), href=address, target="_blank", rel="noopener"), " "])


def image_card(image: Image, *, deterministic: bool) -> Markup:
    names = [familiar(tag) for tag in image.tags[1:]]
    layers = len(image.diff_ids)
    facts = [f"{layers} layer{'' if layers == 1 else 's'}"]
    if not deterministic:
        facts += [decimal_size(image.size), image.short_id]
    stand_in = [
        badge("stand-in", ORANGE),
        note("made on this machine from its distribution's packages, because the registry is "
             "out of reach; the same paths, ports and commands as the original"),
    ] if image.is_stand_in else []  # fmt: skip
    return tag(
        "div",
        tag("b", name_of(image)), " ", ", ".join(names), " ",
        tag("span", " · ".join(facts), style=MUTED), " ", *stand_in,
    )  # fmt: skip
