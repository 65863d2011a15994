"""`--progress tty`: a build drawn in place, as BuildKit draws it.

All steps are drawn anew ten times a second, by a thread, so that time goes on while a step prints
nothing; of a build with more steps than the terminal has lines the last ones, and those that run.
The last drawing has all steps and stays.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from msgspec import Struct

from dockmagic.progress.display import failed_lines
from dockmagic.progress.trace import CANCELED, Part, Step, Trace
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.build import BuildDone, BuildStarted, StepFailed

_INTERVAL: Final = 0.1
_OUTPUT: Final = 6  # lines of the output of a step that runs
_UP_AND_CLEAR: Final = "\x1b[{}F\x1b[J"
_BLUE, _RED, _YELLOW, _FAINT, _PLAIN = "\x1b[34m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_DESCRIPTION: Final = "docker:default"


class Row(Struct):
    """One line: a step, a part of one, or a line of output, which has no time."""

    text: str
    seconds: float | None = None
    amount: str = ""
    color: str = ""
    is_running: bool = False


class TtyDisplay:
    """Takes a build's events and draws them until it is closed."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._trace = Trace(clock)
        self._start = clock()
        self._drawn = 0  # lines that are to be overwritten
        self._has_colors = "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="build display", daemon=True)
        self._ticker.start()

    def take(self, event: object) -> bool:
        with self._lock:
            return self._trace.take(event) is not None or isinstance(
                event, (BuildStarted, BuildDone, StepFailed)
            )

    def close(self, failed: int = 0, reason: str = "") -> None:
        self._over.set()
        self._ticker.join()
        with self._lock:
            step = self._trace.fail(failed, reason) if failed else None
            self._draw(everything=True)
            if step is not None:
                lines = [plain(line.decode(errors="replace")).encode() for line in _shown(step)]
                for line in failed_lines(plain(step.name), lines):
                    self._stream.write(line.decode() + "\n")
            self._stream.flush()

    def _tick(self) -> None:
        while not self._over.wait(_INTERVAL):
            with self._lock:
                self._draw()

    # ------------------------------------------------------------------- rows

    def _rows(self) -> Iterator[Row]:
        for step in self._trace.steps.values():
            yield from self._step_rows(step)

    def _step_rows(self, step: Step) -> Iterator[Row]:
        name = " ".join(plain(step.name).split())
        word, color = _state(step)
        now = self._clock()
        is_running = not step.is_done
        color = "" if is_running else color
        yield Row(f" => {word}{name}", step.seconds(now), "", color, is_running)
        for part in step.parts.values():
            yield self._part_row(part, now)
        if is_running:
            output = b"\n".join([line for _, line in step.lines[-_OUTPUT:]] + [step.rest])
            for line in plain(output.decode(errors="replace")).splitlines()[-_OUTPUT:]:
                yield Row(f" => => # {line}", color=_FAINT, is_running=True)

    def _part_row(self, part: Part, now: float) -> Row:
        is_running = part.completed is None
        end = now if part.completed is None else part.completed
        color = "" if is_running else _BLUE
        return Row(f" => => {plain(part.id)}", end - part.started, part.amount, color, is_running)

    def _fitting(self, rows: list[Row], limit: int) -> list[Row]:
        """The last rows, and before them those that run and would be cut off."""
        if len(rows) <= limit:
            return rows
        hidden = [row for row in rows[: len(rows) - limit] if row.is_running][-limit:]
        shown = rows[len(rows) - limit :]
        for _ in hidden:
            finished = next((row for row in shown if not row.is_running), None)
            if finished is None:
                break
            shown.remove(finished)
        return [*hidden[: limit - len(shown)], *shown]

    def _head(self, *, is_over: bool) -> str:
        done, total = self._trace.done, self._trace.total
        seconds = self._clock() - self._start
        finished = " FINISHED" if is_over and 0 < done == total else ""
        left = f"[+] Building {seconds:.1f}s ({done}/{total}){finished}"
        room = self._width - len(_DESCRIPTION)
        return f"{left:<{room}}{_DESCRIPTION}" if len(left) < room else left[: self._width]

    def _line(self, row: Row) -> str:
        if row.seconds is None:
            return self._colored(_cut(row.text, self._width), row.color)
        seconds = 0.0 if row.seconds < 0.05 else row.seconds
        time_ = f"{seconds:.1f}s"
        room = self._width - len(time_) - 2
        amount = f" {row.amount}" if row.amount else ""
        text = _cut(row.text, room - len(amount)) + amount
        return self._colored(f"{text:<{room}}  {time_}", row.color)

    def _colored(self, text: str, color: str) -> str:
        return f"{color}{text}{_PLAIN}" if color and self._has_colors else text

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size().columns - 1

    # ------------------------------------------------------------------- drawing

    def _draw(self, *, everything: bool = False) -> None:
        rows = list(self._rows())
        if not everything:
            rows = self._fitting(rows, max(shutil.get_terminal_size().lines - 2, 1))
        lines = [self._head(is_over=everything), *map(self._line, rows)]
        if self._drawn:
            self._stream.write(_UP_AND_CLEAR.format(self._drawn))
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()
        self._drawn = len(lines)


def _state(step: Step) -> tuple[str, str]:
    """The word before a step's name and its colour when it has ended."""
    if step.error == CANCELED:
        return "CANCELED ", _YELLOW
    if step.error:
        return "ERROR ", _RED
    return ("CACHED " if step.cached else ""), _BLUE


def _shown(step: Step) -> list[bytes]:
    """All its output: on the screen only the last lines were."""
    return [step.shown(line) for line in step.lines]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width, 0)]
