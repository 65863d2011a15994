"""`docker logs`: what a container wrote so far, and with `-f` what it goes on to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.output.result import Chunk, Event, Nothing, Outcome, Result, notice
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import LogLine
from dockmagic_runtime.model.go_values import parse_int
from dockmagic_runtime.model.times import parse_moment

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parse_tail(text: str) -> int | None:
    """How many lines; None is all, which is also what Docker makes of a negative number, and of
    what is none."""
    try:
        count = parse_int(text)
    except ValueError:
        return None
    return None if count < 0 else count


def _moment(name: str, text: str) -> float:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise InvalidInput(f'invalid value for "{name}": {error}') from None


def parser() -> Parser:
    return Parser(
        verb="logs",
        usage="[OPTIONS] CONTAINER",
        summary="Fetch the logs of a container",
        minimum=1,
        maximum=1,
        flags=(
            switch("follow", "f", "Follow log output"),
            value(
                "since",
                help='Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative '
                '(e.g. "42m" for 42 minutes)',
                default=0.0,
                convert=partial(_moment, "since"),
            ),
            value(
                "until",
                help='Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative '
                '(e.g. "42m" for 42 minutes)',
                default=0.0,
                convert=partial(_moment, "until"),
            ),
            value(
                "tail",
                "n",
                "Number of lines to show from the end of the logs",
                default=None,
                default_text='"all"',
                convert=parse_tail,
            ),
            switch("timestamps", "t", "Show timestamps"),
            switch("details", help="Show extra details provided to logs"),
        ),
    )


class Logs(Result, frozen=True):
    """The log as it stands. `lines` are the engine's `LogLine` values."""

    container: str
    lines: tuple[LogLine, ...]
    timestamps: bool = False
    details: bool = False

    def text(self) -> str:
        data = b"".join(chunk.data for chunk in self.chunks())
        return data.decode(errors="replace").removesuffix("\n")

    def chunks(self) -> Iterator[Chunk]:
        return (
            log_chunk(line, timestamps=self.timestamps, details=self.details) for line in self.lines
        )

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "time": line.time,
                "stream": line.stream,
                "text": line.text.decode(errors="replace").rstrip("\r\n"),
            }
            for line in self.lines
        ]

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text in self.text()


def run(engine: EngineApi, arguments: Arguments) -> Outcome:
    lines = engine.containers.logs(arguments.words[0], **_selection(arguments))
    timestamps, details = arguments.flag("timestamps"), arguments.flag("details")
    if arguments.flag("follow"):
        return _followed(lines, timestamps=timestamps, details=details)
    return Logs(arguments.words[0], tuple(lines), timestamps, details)


def _selection(arguments: Arguments) -> dict[str, Any]:
    return {name: arguments.flag(name) for name in ("follow", "tail", "since", "until")}


def _followed(lines: Iterator[LogLine], *, timestamps: bool, details: bool) -> Iterator[Event]:
    for line in lines:
        yield log_chunk(line, timestamps=timestamps, details=details)
    yield Nothing()


def stream(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    """The same for a terminal: bytes in blocks as they are read, whatever the size of the log."""
    name, timestamps = arguments.words[0], arguments.flag("timestamps")
    if arguments.flag("details"):
        lines = engine.containers.logs(name, **_selection(arguments))
        yield from _followed(lines, timestamps=timestamps, details=True)
        return
    reader = engine.containers.log_stream(name, **_selection(arguments), timestamps=timestamps)
    for stream_name, data in reader:
        yield Chunk(stream_name, data)
    if reader.damaged:
        yield notice(f"WARNING: lines of the log are damaged and were left out: {reader.damaged}")


def log_chunk(line: LogLine, *, timestamps: bool = False, details: bool = False) -> Chunk:
    prefix = f"{line.time} " if timestamps else ""
    if details:
        prefix += f"{_attributes(line.attributes)} "
    return Chunk(line.stream, prefix.encode("utf-8", "replace") + line.text)


def _attributes(values: Mapping[str, str]) -> str:
    """As Docker writes them, escaped as in a URL, by name."""
    from urllib.parse import quote_plus

    return ",".join(
        f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(values.items())
    )
