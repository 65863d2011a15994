"""Runs stages in parallel: a thread for each, and one queue for their events.

A stage goes on until a step needs another stage, and waits for that one. The first failure ends
all of them: running processes are killed, waiting threads are woken, and nothing is raised before
the last thread has ended, so that no thread writes into directories that are being removed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from queue import Queue
from typing import Final

from dockmagic_runtime.model.build import BuildEvent
from dockmagic_runtime.store import locks

_POLL: Final = 0.02  # seconds between two attempts to take a step that another build executes
_AHEAD: Final = 64  # events; a step waits while its events are not consumed
Work = Callable[[], Iterator[BuildEvent]]


class Cancelled(Exception):
    """Another stage has failed, or the build was abandoned. Never leaves the builder."""


class Cancellation:
    """Wakes the waiting threads of a build that was cancelled."""

    def __init__(self) -> None:
        self._is_set = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def cancel(self) -> None:
        with self._lock:
            self._is_set.set()
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback()

    def check(self) -> None:
        if self._is_set.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep, and raise Cancelled as soon as that is called for."""
        self._is_set.wait(seconds)
        self.check()

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """For the block, `callback` is what wakes this thread; called at once if it is late."""
        key = id(callback)
        with self._lock:
            self._callbacks[key] = callback
            is_late = self._is_set.is_set()
        try:
            if is_late:
                callback()
            yield
        finally:
            with self._lock:
                del self._callbacks[key]


class Claims:
    """One thread at a time for each key: steps that two stages share are executed once.

    Steps that two builds share are, too: before a step is executed, the byte of the file `path`
    that its key stands for is locked, so that builds of other engines and processes wait.
    """

    def __init__(self, path: str, cancellation: Cancellation) -> None:
        self._path = path
        self._cancellation = cancellation
        self._lock = threading.Lock()
        self._held: dict[str, threading.Event] = {}

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        while (other := self._taken(key)) is not None:
            with self._cancellation.calling(other.set):
                other.wait()
            self._cancellation.check()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(key).set()

    def claim(self, key: str) -> int | None:
        """A descriptor that keeps other builds from executing the step until it is closed; None
        where one of them has it. Keys are hexadecimal."""
        return locks.acquire_byte(self._path, int(key[:15], 16))

    def wait(self) -> None:
        """Until it is worthwhile to try again. Raises Cancelled."""
        self._cancellation.wait(_POLL)

    def _taken(self, key: str) -> threading.Event | None:
        """The event of the thread that holds the key; None if the caller now holds it."""
        with self._lock:
            if key in self._held:
                return self._held[key]
            self._held[key] = threading.Event()
            return None


class Stages:
    """Which stages are done."""

    def __init__(self, numbers: Iterable[int], cancellation: Cancellation) -> None:
        self._done = {number: threading.Event() for number in numbers}
        self._cancellation = cancellation

    def finish(self, number: int) -> None:
        self._done[number].set()

    def wake(self) -> None:
        for done in self._done.values():
            done.set()

    def wait_for(self, number: int) -> None:
        self._done[number].wait()
        self._cancellation.check()


def side_by_side(
    works: Mapping[int, Work], stages: Stages, cancellation: Cancellation
) -> Iterator[BuildEvent]:
    """Runs all of them; yields their events in the order in which they happen."""
    events: Queue[BuildEvent | BaseException | None] = Queue(_AHEAD)
    threads = [
        threading.Thread(
            target=_run, args=(number, work, events, stages, cancellation), name=f"stage {number}"
        )
        for number, work in works.items()
    ]
    failure: BaseException | None = None
    left = len(threads)
    with cancellation.calling(stages.wake):
        for thread in threads:
            thread.start()
        try:
            while left:
                event = events.get()
                if event is None:
                    left -= 1
                elif isinstance(event, BaseException):
                    failure = failure or event
                    cancellation.cancel()
                elif failure is None:
                    yield event
        finally:
            if left:
                cancellation.cancel()
            while left:
                left -= events.get() is None
            for thread in threads:
                thread.join()
    if failure is not None:
        raise failure


def _run(
    number: int,
    work: Work,
    events: Queue[BuildEvent | BaseException | None],
    stages: Stages,
    cancellation: Cancellation,
) -> None:
    try:
        for event in work():
            cancellation.check()
            events.put(event)
        stages.finish(number)
    except Cancelled:
        pass  # the cause is reported by the thread that failed
    except BaseException as error:
        events.put(error)
    finally:
        events.put(None)
