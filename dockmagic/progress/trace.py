"""`Trace`: the steps of a build as its events have described them so far."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct, field

from dockmagic_runtime.model.build import (
    BuildStarted,
    StepDone,
    StepOutput,
    StepStarted,
    StepStatus,
)

_UNITS = "kMGTP"
_KEPT = 10  # lines of a step that are shown again when it fails


class Part(Struct):
    """A part of a step, such as one layer's pull. Times as `Trace`'s clock gives them."""

    id: str
    started: float
    current: int = 0
    total: int = 0
    completed: float | None = None
    is_note: bool = False

    @property
    def amount(self) -> str:
        if self.total:
            return f"{size(self.current)} / {size(self.total)}"
        return size(self.current) if self.current else ""


class Step(Struct):
    """One step. `lines` are whole lines of output, each with the time that it began."""

    number: int
    name: str
    started: float
    completed: float | None = None
    cached: bool = False
    error: str = ""
    parts: dict[str, Part] = field(default_factory=dict)
    lines: list[tuple[float, bytes]] = field(default_factory=list)
    rest: bytes = b""  # of a line that has not ended
    rest_began: float = 0.0

    @property
    def is_done(self) -> bool:
        return self.completed is not None

    def seconds(self, now: float) -> float:
        return (now if self.completed is None else self.completed) - self.started

    def write(self, data: bytes, now: float) -> None:
        if not self.rest:
            self.rest_began = now
        *whole, self.rest = (self.rest + data).split(b"\n")
        for line in whole:
            self.lines.append((self.rest_began, line))
            self.rest_began = now

    def end_line(self) -> None:
        """An unfinished line is whole where nothing follows it."""
        if self.rest:
            self.lines.append((self.rest_began, self.rest))
            self.rest = b""

    def shown(self, line: tuple[float, bytes]) -> bytes:
        """A line of output behind the seconds since the step began."""
        seconds = max(0.0, line[0] - self.started)
        digits = 3 if seconds < 10 else 2 if seconds < 100 else 1
        return f"{seconds:.{digits}f} ".encode() + line[1]

    def last_lines(self) -> list[bytes]:
        return [self.shown(line) for line in self.lines[-_KEPT:]]


class Trace(Struct):
    """The steps in the order in which they began."""

    clock: Callable[[], float] = time.monotonic
    steps: dict[int, Step] = field(default_factory=dict)
    planned: int = 0  # the number of the last step that is known of

    def take(self, event: object) -> Step | None:
        """The step that the event is about, with the event taken in; None for other events."""
        now = self.clock()
        match event:
            case BuildStarted():
                self.planned = event.steps
                return None
            case StepStarted():
                self.steps[event.number] = Step(event.number, event.name, now)
            case StepStatus():
                self._part(self.steps[event.number], event, now)
            case StepOutput():
                self.steps[event.number].write(event.data, now)
            case StepDone():
                self._done(self.steps[event.number], event, now)
            case _:
                return None
        return self.steps[event.number]

    def _part(self, step: Step, event: StepStatus, now: float) -> None:
        part = step.parts.setdefault(event.id, Part(event.id, now))
        part.current, part.total, part.is_note = event.current, event.total, event.is_note
        if event.done:
            part.completed = now

    def _done(self, step: Step, event: StepDone, now: float) -> None:
        step.end_line()
        step.completed = now
        step.cached, step.error = event.cached, event.error

    def fail(self, number: int, reason: str) -> Step | None:
        """The step that failed for good; the others that run are cancelled."""
        now = self.clock()
        for step in self.steps.values():
            if not step.is_done and step.number != number:
                step.completed, step.error = now, CANCELED
        failed = self.steps.get(number)
        if failed is not None:
            failed.end_line()
            failed.completed, failed.error = now, reason
        return failed

    @property
    def total(self) -> int:
        return max(self.planned, len(self.steps))

    @property
    def done(self) -> int:
        return sum(step.is_done for step in self.steps.values())


CANCELED = "context canceled"


def size(amount: int) -> str:
    """Bytes as BuildKit writes them: `57B`, `1.23kB`."""
    if amount < 1000:
        return f"{amount}B"
    power = min((len(str(amount)) - 1) // 3, len(_UNITS))
    return f"{amount / 1000**power:.2f}{_UNITS[power - 1]}B"
