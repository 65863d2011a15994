"""One container or one image, as a few lines."""

from __future__ import annotations

from dockmagic.commands.ps import status_text
from dockmagic.commands.quantities import decimal_size
from dockmagic.commands.references import familiar, name_of
from dockmagic.commands.result import is_named
from dockmagic.widgets.html import GREEN, MONO, MUTED, ORANGE, Markup, badge, join, note, tag
from dockmagic_runtime.model.container import Container
from dockmagic_runtime.model.image import Image


def container_card(container: Container, *, deterministic: bool) -> Markup:
    alive = container.status.is_alive
    name = container.name if is_named(container) or not deterministic else "container"
    facts = [] if deterministic else [container.short_id]
    ports = [
        _port(port.host_ip, port.host_port, str(port)) for port in container.ports if port.host_port
    ]
    if container.ip_address and not deterministic:
        facts.append(container.ip_address)
    state = badge(status_text(container, with_times=False), GREEN if alive else ORANGE)
    return tag(
        "div",
        tag("b", name), " ", state, " ", tag("span", familiar(container.image)), " ",
        *ports,
        tag("span", " ".join(facts), style=f"{MUTED};{MONO}"),
    )  # fmt: skip


def _port(host_ip: str, host_port: int, text: str) -> Markup:
    """A link for what the browser may reach: the notebook's server is often this machine."""
    host = "localhost" if host_ip in ("", "0.0.0.0", "::", "127.0.0.1") else host_ip
    return join([tag("a", text, href=f"http://{host}:{host_port}/", target="_blank"), " "])


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
