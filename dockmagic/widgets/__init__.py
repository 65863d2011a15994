"""Results and values → what a notebook shows.

`bundle(thing)` gives `text/plain`, which is what the command line prints, and `text/html` that
needs no script and reads without styles; `deterministic` leaves out of both what differs from run
to run. No module here knows an engine or a shell; those of live views alone import anywidget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dockmagic.commands.builder.build import Built
from dockmagic.commands.builder.checked import Checked
from dockmagic.commands.builder.explain import ExplainedBuild
from dockmagic.commands.container.diff import Changes
from dockmagic.commands.container.explain import Explained
from dockmagic.commands.container.logs import Logs
from dockmagic.commands.container.ps import Containers
from dockmagic.commands.container.stats import StatsTable
from dockmagic.commands.image.file_history import FileHistory
from dockmagic.commands.image.images import Images
from dockmagic.commands.image.layers import Layers
from dockmagic.commands.image.shared_layers import SharedLayers
from dockmagic.commands.network.draw import Drawn
from dockmagic.commands.network.trace import Traced
from dockmagic.commands.output.listing import Listing
from dockmagic.commands.output.result import Result, describe
from dockmagic.commands.system.info import Info
from dockmagic.commands.system.inspect import Inspected
from dockmagic.widgets import (
    build,
    card,
    containers,
    diff,
    explain,
    explain_build,
    images,
    inspect,
    layers,
    logs,
    network,
    network_trace,
    stats,
    tables,
)
from dockmagic.widgets.frame import sheet
from dockmagic.widgets.html import Markup
from dockmagic.widgets.masked import masked
from dockmagic.widgets.sanitize import clean
from dockmagic_runtime.model.container import Container
from dockmagic_runtime.model.image import Image

Drawing = Callable[..., Markup]

_DRAWINGS: tuple[tuple[type, Drawing], ...] = (
    (Layers, layers.layers),
    (SharedLayers, layers.sharing),
    (FileHistory, layers.origin),
    (StatsTable, stats.stats),
    (Containers, containers.containers),
    (Images, images.images),
    (Logs, logs.logs),
    (Listing, tables.listing),
    (Built, build.build),
    (Checked, build.checked),
    (Explained, explain.explained),
    (ExplainedBuild, explain_build.explained_build),
    (Inspected, inspect.inspected),
    (Info, inspect.info),
    (Drawn, network.drawn),
    (Traced, network_trace.traced),
)


def bundle(
    result: Result,
    *,
    deterministic: bool = False,
    html: bool = True,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """The MIME types of a result. `sizes` are bytes by path, for the changes of a container."""
    renderer = {"text/plain": clean(text_of(result, deterministic=deterministic))}
    if html:
        drawn = _drawn(result, deterministic=deterministic, sizes=sizes)
        renderer |= {"text/html": str(sheet(drawn))} if drawn else {}
    return renderer


def _drawn(result: Result, *, deterministic: bool, sizes: Mapping[str, int] | None) -> Markup:
    if isinstance(result, Changes):
        return diff.diff(result, deterministic=deterministic, sizes=sizes)
    for kind, drawing in _DRAWINGS:
        if isinstance(result, kind):
            return drawing(result, deterministic=deterministic)
    return Markup("")


def text_of(result: Result, *, deterministic: bool = False) -> str:
    """What the command line prints; only in deterministic mode without ids, times and sizes."""
    if deterministic:
        return masked(result.stable()) if isinstance(result, Logs) else result.stable()
    return result.noted() if isinstance(result, Listing) else result.text()


def container_bundle(container: Container, *, deterministic: bool = False) -> dict[str, str]:
    drawn = card.container_card(container, deterministic=deterministic)
    text = clean(describe(container) if deterministic else card.container_text(container))
    return {"text/plain": text, "text/html": str(sheet(drawn))}


def image_bundle(image: Image, name: str, *, deterministic: bool = False) -> dict[str, str]:
    """`name` is the one by which it was asked for."""
    drawn = card.image_card(image, deterministic=deterministic)
    text = name if deterministic else card.image_text(image, name)
    return {"text/plain": clean(text), "text/html": str(sheet(drawn))}
