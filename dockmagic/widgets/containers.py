"""`ps` as a table: names first, one link for each published port."""

from __future__ import annotations

from typing import Any

from dockmagic.commands.container.ps import Containers, ContainersWithSizes
from dockmagic.commands.container.ps import image_text as shown_image
from dockmagic.commands.output.result import is_named
from dockmagic.widgets.card import container_state, port_link, published
from dockmagic.widgets.frame import dot, muted
from dockmagic.widgets.html import Markup, code, join, note, table, tag
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.container import Container

_EMPTY = "no container runs: %docker run -d IMAGE starts one, %ps -a lists those that have ended"


def containers(result: Containers, *, deterministic: bool) -> Markup:
    if result.quiet or result.format:
        return Markup("")
    if not result.items:
        return note(_EMPTY)
    headings = ["NAME", "IMAGE", "STATUS", "PORTS", "COMMAND"]
    headings += [] if deterministic else ["CREATED", "CONTAINER ID"]
    is_sized = isinstance(result, ContainersWithSizes) and not deterministic
    rows = [
        [
            *_row(container, fields, deterministic=deterministic),
            *([plain(str(fields["Size"]))] if is_sized else []),
        ]
        for container, fields in zip(result.items, result.fields, strict=True)
    ]
    return table([*headings, *(["SIZE"] if is_sized else [])], rows)


def _row(container: Container, fields: dict[str, Any], *, deterministic: bool) -> list[Any]:
    is_stable = is_named(container) or not deterministic
    name = container.name if is_stable else "(random)"
    cells: list[Any] = [
        join([dot(container_state(container)), " ", tag("b", plain(name))]),
        plain(shown_image(container)),
        plain(str(fields["_status" if deterministic else "Status"])),
        ports(container),
        code(plain(str(fields["Command"]))),
    ]
    if not deterministic:
        cells += [plain(str(fields["RunningFor"])), muted(code(plain(str(fields["ID"]))))]
    return cells


def ports(container: Container) -> Markup:
    """Published ports as links, the others muted."""
    links: list[Any] = []
    for port in published(container):
        links += [port_link(port), " "]
    open_ports = {(p.container_port, p.protocol) for p in container.ports if p.host_port}
    exposed = [
        text
        for text in container.exposed
        if tuple(text.split("/")) not in {(str(n), protocol) for n, protocol in open_ports}
    ]
    if container.status.is_alive and exposed:
        links.append(muted(plain(", ".join(exposed))))
    return join(links)
