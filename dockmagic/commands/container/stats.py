"""`docker stats`: what running containers use."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import to_builtins

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.result import Event, Outcome
from dockmagic.commands.units import binary_size, decimal_size
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.container import Stats

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_INTERVAL = 1.0  # seconds, as Docker's


def parser() -> Parser:
    return Parser(
        verb="stats",
        usage="[OPTIONS] [CONTAINER...]",
        summary="Display a live stream of container(s) resource usage statistics",
        flags=(
            switch("all", "a", "Show all containers (default shows just running)"),
            LIST_FORMAT,
            switch("no-stream", help="Disable streaming stats and only pull the first result"),
            switch("no-trunc", help="Do not truncate output"),
        ),
    )


class StatsTable(Listing, frozen=True, kw_only=True):
    """The rows of `docker stats`; `items` are the engine's `Stats` values."""

    go_type: ClassVar[str] = "*container.statsContext"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("ID", "CONTAINER ID"),
        stable_column("Name", "NAME"),
        Column("CPUPerc", "CPU %"),
        Column("MemUsage", "MEM USAGE / LIMIT"),
        Column("MemPerc", "MEM %"),
        Column("NetIO", "NET I/O"),
        Column("BlockIO", "BLOCK I/O"),
        Column("PIDs", "PIDS"),
    )

    items: tuple[Stats, ...]
    once: bool = False  # this moment was asked for, not what comes after it
    named: bool = False  # these containers were asked for, not all

    def rows(self) -> list[dict[str, Any]]:
        return [to_builtins(item) for item in self.items]


def run(engine: EngineApi, arguments: Arguments) -> Outcome:
    if arguments.flag("no-stream"):
        return sample(engine, arguments)
    return _stream(engine, arguments)


def _stream(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    """For ever, or until the containers that were named are gone."""
    table = sample(engine, arguments)
    while True:
        yield table
        time.sleep(_INTERVAL)
        try:
            table = sample(engine, arguments)
        except (NotFound, Conflict):
            return


def sample(engine: EngineApi, arguments: Arguments) -> StatsTable:
    samples = tuple(_samples(engine, arguments.words, every=arguments.flag("all")))
    in_full = arguments.flag("no-trunc")
    return StatsTable(
        items=tuple(item for _, item in samples),
        fields=tuple(fields(item, name, in_full=in_full) for name, item in samples),
        format=arguments.flag("format"),
        in_full=arguments.flag("no-trunc"),
        once=arguments.is_given("no-stream"),
        named=bool(arguments.words),
    )


def _samples(
    engine: EngineApi, names: tuple[str, ...], *, every: bool
) -> Iterator[tuple[str, Stats]]:
    """Each sample with the name by which it was asked for: a short id without one."""
    if names:
        for name in names:
            yield name, _named(engine, name)
        return
    for container in engine.containers.list(all=every):
        if not container.status.is_alive:
            yield container.short_id, _idle(container.id, container.name)
            continue
        try:
            yield container.short_id, engine.containers.stats(container.id)
        except (NotFound, Conflict):
            continue  # it ended since the list was made


def _named(engine: EngineApi, name: str) -> Stats:
    """Zeros for a container that does not run, as in Docker. Raises NotFound."""
    try:
        return engine.containers.stats(name)
    except Conflict:
        container = engine.containers.get(name)
        return _idle(container.id, container.name)


def _idle(id: str, name: str) -> Stats:
    return Stats(
        id=id, name=name, time=time.time(), cpu_ns=0, cpu_percent=0, memory_bytes=0,
        memory_limit=0, network_rx=0, network_tx=0, block_read=0, block_write=0, pids=0,
    )  # fmt: skip


def fields(stats: Stats, asked: str = "", *, in_full: bool = False) -> Fields:
    """`asked` is the name by which the container was asked for, by default its short id."""
    share = 100 * stats.memory_bytes / stats.memory_limit if stats.memory_limit else 0.0
    return {
        "Container": asked or stats.id[:12],
        "ID": stats.id if in_full else stats.id[:12],
        "Name": stats.name,
        "CPUPerc": f"{stats.cpu_percent:.2f}%",
        "MemUsage": f"{binary_size(stats.memory_bytes)} / {binary_size(stats.memory_limit)}",
        "MemPerc": f"{share:.2f}%",
        "NetIO": f"{decimal_size(stats.network_rx)} / {decimal_size(stats.network_tx)}",
        "BlockIO": f"{decimal_size(stats.block_read)} / {decimal_size(stats.block_write)}",
        "PIDs": str(stats.pids),
    }
