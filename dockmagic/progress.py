"""A build's progress in a terminal: what runs is drawn in place, what is done stays above it.

The last lines are drawn anew ten times a second, by a thread, so that time goes on while a step
says nothing. Only those lines are ever overwritten: the scrollback holds every step once.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from dockmagic.commands.builder.build import Step, Steps
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.build import BuildStarted, StepDone, StepOutput, StepStarted
from dockmagic_runtime.model.progress import PullStatus

_INTERVAL: Final = 0.1
_LINES: Final = 6  # of the output of each step that runs
_UP_AND_CLEAR: Final = "\x1b[{}F\x1b[J"
_BLUE, _RED, _PLAIN = "\x1b[34m", "\x1b[31m", "\x1b[0m"


class BuildDisplay:
    """Takes a build's events; `close` it with the number of the step that failed, 0 for none."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._steps = Steps()
        self._began: dict[int, float] = {}
        self._start = clock()
        self._total = 0
        self._drawn = 0  # lines that are to be overwritten
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="build display", daemon=True)
        self._ticker.start()

    def take(self, event: object) -> bool:
        """Show it; False for what is no event of a build."""
        with self._lock:
            match event:
                case BuildStarted():
                    self._total = event.steps
                    self._write([f"[Warning] {warning}" for warning in event.warnings])
                case StepStarted() | StepOutput():
                    self._steps.add(event)
                    if isinstance(event, StepStarted):
                        self._began[event.number] = self._clock()
                case StepDone():
                    self._steps.add(event)
                    self._write([self._done(self._step(event.number))])
                case PullStatus():
                    if not event.total or event.current >= event.total:
                        text = f"{event.id}: {event.status}" if event.id else event.status
                        self._write([f" => {text}"])
                case _:
                    return False
        return True

    def close(self, failed: int = 0) -> None:
        """The rest of the lines; of a failure, all that its step has said."""
        self._over.set()
        self._ticker.join()
        with self._lock:
            self._write([self._head("FINISHED")] if self._total and not failed else [])
            if failed:
                self._write(self._failure(self._step(failed)))

    def _failure(self, step: Step) -> list[str]:
        """All that it has said: the reason is mostly there."""
        said = (f" => => # {line}" for line in plain(step.output).splitlines())
        return [f"{_RED} => ERROR {self._title(step)}{_PLAIN}", *said]

    def _tick(self) -> None:
        while not self._over.wait(_INTERVAL):
            with self._lock:
                self._draw()

    # ------------------------------------------------------------------- lines

    def _step(self, number: int) -> Step:
        return next(step for step in self._steps.all() if step.number == number)

    def _title(self, step: Step) -> str:
        return f"[{step.number}/{self._total}] {' '.join(plain(step.instruction).split())}"

    def _done(self, step: Step) -> str:
        word = "CACHED " if step.cached else ""
        return self._row(f"{_BLUE} => {word}{self._title(step)}", step.seconds, _PLAIN)

    def _head(self, word: str) -> str:
        done = sum(step.done for step in self._steps.all())
        seconds = self._clock() - self._start
        return f"[+] Building {seconds:.1f}s ({done}/{self._total}) {word}".rstrip()

    def _running(self) -> list[str]:
        rows = [self._head("")]
        for step in self._steps.all():
            if not step.done:
                rows.append(self._row(f" => {self._title(step)}", self._seconds(step)))
                said = plain(step.output).splitlines()[-_LINES:]
                rows += [self._cut(f" => => # {line}") for line in said]
        return rows

    def _seconds(self, step: Step) -> float:
        return self._clock() - self._began[step.number]

    def _row(self, text: str, seconds: float, end: str = "") -> str:
        """The time at the right end of the terminal."""
        time_ = f"{seconds:.1f}s"
        room = self._width - len(time_) - 1
        colors = len(_BLUE) if end else 0
        return f"{self._cut(text, room + colors):<{room + colors}} {time_}{end}"

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size().columns - 1

    def _cut(self, text: str, width: int = 0) -> str:
        width = width or self._width
        return text if len(text) <= width else f"{text[: width - 1]}…"

    # ------------------------------------------------------------------- drawing

    def _write(self, lines: list[str]) -> None:
        """Above what is drawn in place, for good."""
        self._clear()
        if lines:
            self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()

    def _draw(self) -> None:
        rows = self._running()[: max(shutil.get_terminal_size().lines - 2, 1)]
        self._clear()
        self._stream.write("\n".join(rows) + "\n")
        self._stream.flush()
        self._drawn = len(rows)

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write(_UP_AND_CLEAR.format(self._drawn))
            self._drawn = 0
