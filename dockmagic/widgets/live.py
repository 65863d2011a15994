"""Progress while a cell runs: a pull's and a build's.

It is HTML that replaces itself, not a widget: every front end draws it, and what is in the notebook
at any moment reads without its kernel. It comes when the work has taken long enough to be worth
looking at, so quick commands pay nothing for it, and is taken away when the result follows.
"""

from __future__ import annotations

import threading
import time
from contextvars import copy_context
from typing import Any, Protocol

from msgspec.structs import replace

from dockmagic.commands.builder.build import Step, Steps
from dockmagic.widgets.build import steps
from dockmagic.widgets.frame import State, frame, muted, sheet
from dockmagic.widgets.html import Markup, code, tag
from dockmagic.widgets.live_output import LiveOutput
from dockmagic.widgets.pull import Transfer
from dockmagic_runtime.model.build import (
    BuildEvent,
    BuildStarted,
    PlannedStep,
    StepDone,
    StepFailed,
    StepStarted,
)
from dockmagic_runtime.model.progress import PullStatus

_PATIENCE = 0.4  # seconds before there is something to see
_INTERVAL = 0.2  # seconds between two drawings
_TICK = 1.0  # seconds between drawings where no event comes: the time goes on


class View(Protocol):
    """Where progress is shown."""

    def show(self, drawn: Markup, text: str) -> None:
        """Replace what is shown."""

    def keep(self, drawn: Markup, text: str) -> None:
        """Show this for good: no result follows."""

    def close(self) -> None:
        """Take it away, unless it is kept."""


class Hidden:
    """For notebooks that are tested, and shells without a page."""

    def show(self, drawn: Markup, text: str) -> None:
        pass

    def keep(self, drawn: Markup, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class OutputView:
    """An output of the cell, shown at the first drawing."""

    def __init__(self) -> None:
        self._bundle: dict[str, Any] = {}
        self._output = LiveOutput(lambda: dict(self._bundle))

    def show(self, drawn: Markup, text: str) -> None:
        self._bundle = {"text/plain": text, "text/html": str(sheet(drawn))}
        self._output.show()

    def keep(self, drawn: Markup, text: str) -> None:
        self.show(drawn, text)
        self._output.end()

    def close(self) -> None:
        self._output.clear()


class Progress:
    """Draws when it is time to; the last state is not drawn, because a result follows."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.began = time.monotonic()
        self._next = self.began + _PATIENCE
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def draw(self) -> Markup:
        raise NotImplementedError

    def text(self) -> str:
        """The same in a line."""
        raise NotImplementedError

    def changed(self) -> None:
        """Draw, if it is time to; without further events, when it comes to be."""
        if self._ticker is None and not isinstance(self._view, Hidden):
            self._ticker = threading.Thread(
                target=copy_context().run,
                args=(self._tick,),
                name="dockmagic-progress",
                daemon=True,
            )
            self._ticker.start()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            self._show()

    def _show(self) -> None:
        with self._lock:
            self._view.show(self.draw(), self.text())

    def _tick(self) -> None:
        pause = _PATIENCE
        while not self._over.wait(pause):
            pause = _TICK
            if time.monotonic() >= self._next:
                self._show()

    def _end(self) -> None:
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()

    def keep(self) -> None:
        """Leave the last state in the notebook: what it was about has failed."""
        self._end()
        self._view.keep(self.draw(), self.text())

    def close(self) -> None:
        self._end()
        self._view.close()


class BuildProgress(Progress):
    """The steps of a build, with the seconds of those that run."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.steps = Steps()
        self._failed = 0
        self._planned: tuple[PlannedStep, ...] = ()
        self._left = ""  # the files of the failed step, to look around in
        self._started: dict[int, float] = {}

    def add(self, event: BuildEvent) -> None:
        with self._lock:
            self.steps.add(event)
            if isinstance(event, BuildStarted):
                self._planned = event.planned
            elif isinstance(event, StepFailed):
                self._left = event.left
            elif isinstance(event, StepStarted):
                self._started[event.number] = time.monotonic()
            elif isinstance(event, StepDone):
                self._started.pop(event.number, None)
        self.changed()

    def fail(self, number: int) -> None:
        """Keep the steps, that one open."""
        self._failed = number
        self.keep()

    def place(self) -> str:
        """Where it is: the step that runs."""
        running = [step for step in self.steps.of_dockerfile() if not step.done]
        return f" at {running[-1].name}" if running else ""

    def _shown(self) -> list[Step]:
        """All steps of the Dockerfile, those too that have not begun."""
        begun = {step.number: step for step in self.steps.of_dockerfile()}
        waiting = {
            step.number: Step(number=step.number, name=step.name, instruction=step.instruction)
            for step in self._planned
            if step.instruction
        }
        shown = waiting | begun
        if not shown:
            shown = {step.number: step for step in self.steps.all()}
        if self._failed in shown and not shown[self._failed].error:
            shown[self._failed] = replace(shown[self._failed], error="failed")
        return [shown[number] for number in sorted(shown)]

    def draw(self) -> Markup:
        now = time.monotonic()
        running = {} if self._failed else {n: now - at for n, at in self._started.items()}
        state = State("fail", "failed", "✕") if self._failed else State("info", "building", "▶")
        shown, opened = self._shown(), frozenset([self._failed])
        lanes = self._lanes()
        drawn: list[Any] = [
            [
                muted(stage) if len(lanes) > 1 else "",
                steps([s for s in shown if s.number in numbers], running=running, opened=opened),
            ]
            for stage, numbers in lanes.items()
        ] or [steps(shown, running=running, opened=opened)]
        return frame("build", drawn, self._way_in(), state=state, facts=[self.text()])

    def _lanes(self) -> dict[str, set[int]]:
        """The steps of each stage: stages run side by side."""
        lanes: dict[str, set[int]] = {}
        for step in self._planned:
            if step.instruction:
                lanes.setdefault(step.stage, set()).add(step.number)
        known = set().union(*lanes.values()) if lanes else set()
        rest = {step.number for step in self._shown()} - known
        if lanes and rest:  # begun before the plan was made, as a base image's pull
            first = next(iter(lanes))
            lanes[first] |= rest
        return lanes

    def _way_in(self) -> Markup | str:
        """How to look around where the build failed."""
        if not self._left:
            return ""
        line = f"%docker run -it --from-failed={self._left}"
        return tag("div", muted("a shell there: "), code(line))

    def text(self) -> str:
        shown = self._shown()
        done = sum(step.done and not step.error for step in shown)
        words = f"{done} of {len(shown)} steps, {self.seconds:.0f} s"
        return f"failed after {words}" if self._failed else words


class PullProgress(Progress):
    """A pull, a push or a load: one bar."""

    def __init__(self, view: View, name: str = "") -> None:
        super().__init__(view)
        self._name = name or "image"
        self._transfer = Transfer()

    def add(self, event: PullStatus) -> None:
        with self._lock:
            self._transfer.add(event)
        self.changed()

    def draw(self) -> Markup:
        return self._transfer.draw(self._name, self.seconds)

    def text(self) -> str:
        return ", ".join([*self._transfer.facts(), f"{self.seconds:.0f} s"])
