"""`--progress plain`: a build as lines, those of one step together, as BuildKit prints them.

One step at a time is current. Output of others is held back until the current one ends, or has
been the current one for some seconds; so the lines of steps that run at the same time do not mix.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from dockmagic.progress.display import failed_lines, raw
from dockmagic.progress.trace import CANCELED, Part, Step, Trace
from dockmagic_runtime.model.build import BuildDone, BuildStarted, StepFailed

_PATIENCE: Final = 5.0  # seconds that a step stays current while others have something to print
_STEP: Final = 0.05  # of a part's bytes, between two lines about it
_PAUSE: Final = 5.0  # seconds, the same


class PlainDisplay:
    """Prints each event when it comes, or keeps it until its step is the current one."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = raw(stream)
        self._clock = clock
        self._trace = Trace(clock)
        self._current: Step | None = None
        self._since = 0.0  # when the current step became that
        self._printed: dict[int, int] = {}  # lines of output, by step
        self._pending: dict[int, list[str]] = {}  # lines about parts, by step
        self._last: dict[
            str, tuple[float, int]
        ] = {}  # of a part: when it was printed, and its bytes
        self._is_first = True
        self._write('#0 building with "default" instance using docker driver')
        self._write("")

    def take(self, event: object) -> bool:
        step = self._trace.take(event)
        if step is None:
            return isinstance(event, (BuildStarted, BuildDone, StepFailed))
        if isinstance(part := self._changed_part(event, step), Part):
            self._pending.setdefault(step.number, []).extend(self._part_line(part))
        if step.is_done:
            self._finish(step)
        elif self._may_print(step):
            self._print(step)
        self._stream.flush()
        return True

    def _changed_part(self, event: object, step: Step) -> Part | None:
        return step.parts.get(getattr(event, "id", ""))

    def _may_print(self, step: Step) -> bool:
        current = self._current
        if current is None or current is step:
            return True
        has_output = len(step.lines) > self._printed.get(step.number, 0)
        return has_output and self._clock() - self._since > _PATIENCE

    def _finish(self, step: Step) -> None:
        self._print(step)
        self._write(f"#{step.number} {_outcome(step)}")
        self._current = None
        # a step that had to wait goes on
        for other in self._trace.steps.values():
            if not other.is_done and self._has_news(other):
                self._print(other)
                break

    def _has_news(self, step: Step) -> bool:
        return len(step.lines) > self._printed.get(step.number, 0) or bool(
            self._pending.get(step.number)
        )

    def _print(self, step: Step) -> None:
        """What the step has not printed yet, under its name."""
        if self._current is not step:
            self._switch(step)
        for text in self._pending.pop(step.number, ()):
            self._write(f"#{step.number} {text}")
        first = self._printed.get(step.number, 0)
        for line in step.lines[first:]:
            self._stream.write(f"#{step.number} ".encode() + step.shown(line) + b"\n")
        self._printed[step.number] = len(step.lines)

    def _switch(self, step: Step) -> None:
        if self._current is not None:
            self._write(f"#{self._current.number} ...")
        if not self._is_first:
            self._write("")
        self._is_first = False
        self._write(f"#{step.number} {step.name}")
        self._current, self._since = step, self._clock()

    def _part_line(self, part: Part) -> Iterator[str]:
        now = self._clock()
        before = self._last.get(part.id)
        if before is not None and part.completed is None:
            moved = (part.current - before[1]) / part.total if part.total else 0.0
            if moved < _STEP and now - before[0] < _PAUSE:
                return
        self._last[part.id] = now, part.current
        seconds = (now if part.completed is None else part.completed) - part.started
        words = [part.id, part.amount, f"{seconds:.1f}s" if seconds > 0.01 else ""]
        words.append("done" if part.completed is not None and not part.is_note else "")
        yield " ".join(word for word in words if word)

    def _write(self, line: str) -> None:
        self._stream.write(line.encode("utf-8", "surrogateescape") + b"\n")

    def close(self, failed: int = 0, reason: str = "") -> None:
        step = self._trace.fail(failed, reason) if failed else None
        if step is not None:
            self._print(step)
            self._write(f"#{step.number} ERROR: {reason}")
            for other in self._trace.steps.values():
                if other.error == CANCELED and self._printed.get(other.number) is not None:
                    self._print(other)
                    self._write(f"#{other.number} CANCELED")
            for line in failed_lines(step.name, step.last_lines()):
                self._stream.write(line + b"\n")
        self._stream.flush()


def _outcome(step: Step) -> str:
    if step.error:
        return f"ERROR: {step.error}"
    return "CACHED" if step.cached else f"DONE {step.seconds(0):.1f}s"
