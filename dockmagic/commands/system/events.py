"""`docker events`: what happens to containers, images, networks and volumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dockmagic.commands.options.filters import gather, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, value, values
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.output.result import Event as Shown
from dockmagic.commands.output.result import Nothing, Outcome, Result, line
from dockmagic.commands.units import moment
from dockmagic_runtime.containers.events.filters import KNOWN
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.suggest import did_you_mean
from dockmagic_runtime.model.times import parse_moment

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_NANO = 1_000_000_000


def parser() -> Parser:
    return Parser(
        verb="events",
        usage="[OPTIONS]",
        summary="Get real time events from the server",
        maximum=0,
        flags=(
            values(
                "filter",
                "f",
                "Filter output based on conditions provided",
                type="filter",
                convert=parse_filter,
            ),
            replace(INSPECT_FORMAT, short=""),
            value(
                "since",
                help="Show all events created since timestamp",
                default=0.0,
                convert=_parse_moment,
            ),
            value(
                "until",
                help="Stream events until this timestamp",
                default=0.0,
                convert=_parse_moment,
            ),
        ),
    )


class Events(Result, frozen=True):
    """What happened in a span of time that is over. `items` are the engine's `Event` values."""

    items: tuple[Event, ...]
    lines: tuple[str, ...]
    is_formatted: bool = False

    def text(self) -> str:
        return "\n".join(self.lines)

    def stable(self) -> str:
        """Without times and ids."""
        return self.text() if self.is_formatted else "\n".join(map(_stable, self.items))

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "time": moment(event.time_ns / _NANO),
                "type": event.type,
                "action": event.action,
                "name": event.attributes.get("name", ""),
                "id": event.id[:12] if event.type == "container" else event.id,
                "image": event.attributes.get("image", ""),
            }
            for event in self.items
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Event:
        return self.items[index]


def _stable(event: Event) -> str:
    image = event.attributes.get("image", "") if event.type == "container" else ""
    return f"{event.type} {event.action}" + (f" ({image})" if image else "")


def run(engine: EngineApi, arguments: Arguments) -> Outcome:
    """Up to now or a moment before: a result. Else what comes, as it comes."""
    filters = gather(arguments.flag("filter"))
    for name in filters:
        if name not in KNOWN:
            raise InvalidInput(f"invalid filter '{name}'", hint=did_you_mean(name, KNOWN))
    written = _writer(arguments.flag("format"))
    since, until = _moment(arguments, "since"), _moment(arguments, "until")
    if 0 < until <= time.time():
        items = tuple(engine.system.events(since=since, until=until, filters=filters, follow=False))
        lines = tuple(map(written, items))
        return Events(items, lines, is_formatted=bool(arguments.flag("format")))
    since = since or time.time()
    return _streamed(
        engine.system.events(since=since, until=until, filters=filters, follow=True), written
    )


def _parse_moment(text: str) -> float:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _moment(arguments: Arguments, name: str) -> float:
    """Seconds since the epoch, 0 if the flag was not given; its own `0` is that moment."""
    moment: float = arguments.flag(name)
    return max(moment, 1e-9) if arguments.is_given(name) else moment


def _streamed(events: Iterator[Event], written: Callable[[Event], str]) -> Iterator[Shown]:
    for event in events:
        yield line(written(event))
    yield Nothing()


def _writer(format: str) -> Callable[[Event], str]:
    if not format:
        return str
    if format in ("json", "{{json .}}"):
        return lambda event: json.dumps(event.to_json(), separators=(",", ":"))
    from dockmagic.commands.gotemplate.template import Template
    from dockmagic_runtime.wire import event as wire
    from dockmagic_runtime.wire import go

    template = Template(format)
    return lambda event: template.render(go.decode(wire.Message, event.to_json()))
