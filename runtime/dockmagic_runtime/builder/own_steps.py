"""The builder's own steps in a build's progress: numbered, timed, and blamed for their errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from msgspec import Struct

from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.build import BuildEvent, StepDone, StepFailed, StepStarted, StepStatus
from dockmagic_runtime.model.progress import PullStatus

T = TypeVar("T")
Work = Callable[[int], Generator[BuildEvent, None, T]]  # takes its step's number
_ENDS = ("complete", "Already exists", "Pushed", "Layer already exists")


class OwnSteps(Struct):
    """Numbers the steps of one build. `last` is the highest number in use."""

    last: int = 0

    def run(self, name: str, work: Work[T]) -> Generator[BuildEvent, None, T]:
        """A step of its own around `work`; returns what that returns."""
        self.last += 1
        number, began = self.last, time.monotonic()
        yield StepStarted(number=number, name=name, time=time.time())
        try:
            result = yield from work(number)
        except DockmagicError as error:
            error.step = error.step or number
            yield StepFailed(number=number, reason=error.message, time=time.time())
            raise
        seconds = time.monotonic() - began
        yield StepDone(number=number, seconds=seconds, time=time.time())
        return result


def transferred(what: str, size: int) -> Work[None]:
    """Work that is done already: so many bytes were read."""

    def work(number: int) -> Generator[BuildEvent, None, None]:
        yield StepStatus(number=number, id=f"transferring {what}:", current=size, done=True)

    return work


def as_statuses(number: int, pulled: PullStatus) -> Iterator[StepStatus]:
    """A line of a pull as part of a build's step; those about a whole image are for the user."""
    if not pulled.id:
        yield StepStatus(number=number, id=pulled.status, done=True, is_note=True)
        return
    is_over = pulled.status.endswith(_ENDS) or 0 < pulled.total <= pulled.current
    yield StepStatus(
        number=number,
        id=f"{pulled.id} {pulled.status.lower()}",
        current=pulled.current,
        total=pulled.total,
        done=is_over,
    )
