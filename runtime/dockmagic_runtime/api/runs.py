"""Clients that attach to a container, or wait for its end, before it has been started.

Docker's client attaches and waits first and starts then, so that it misses nothing, not even of a
container that is removed as soon as it ends. Whichever request starts the container connects all
that are there: one `Run` reads its output and hands it to each of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Final

from dockmagic_runtime.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic_runtime.engine.interface import EngineApi, ProcessApi

_WAITING: Final = 64  # pieces of output that wait for a slow client before the program has to
_LOOK: Final = 0.2  # seconds between looks at clients that have gone, or containers elsewhere


class Run:
    """The output of one process, read by one thread for any number of clients.

    `on_end` is called with the exit code before any client sees the end.
    """

    def __init__(
        self, process: ProcessApi, on_end: Callable[[int], None] = lambda code: None
    ) -> None:
        self.process = process
        self._on_end = on_end
        self.exit_code: int | None = None
        self._ended = threading.Event()
        self._viewers: list[Viewer] = []

    def begin(self, viewers: list[Viewer]) -> None:
        self._viewers = viewers
        threading.Thread(target=self._read, name="api-run", daemon=True).start()

    def _read(self) -> None:
        try:
            for piece in self.process.output():
                for viewer in self._viewers:
                    viewer.put(piece)
            self.exit_code = self.process.wait()
            self._on_end(self.exit_code)
        finally:
            self._ended.set()
            for viewer in self._viewers:
                viewer.put(None)

    def wait(self, timeout: float) -> int | None:
        """The exit code; None if it has not ended in that time (seconds)."""
        return self.exit_code if self._ended.wait(timeout) else None

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()


class Viewer:
    """One client's share of a run: a `ProcessApi` as far as an attached client needs it."""

    def __init__(self, run: Run) -> None:
        self._process = run.process
        self._pieces: Queue[tuple[str, bytes] | None] = Queue(_WAITING)
        self._is_gone = threading.Event()

    def put(self, piece: tuple[str, bytes] | None) -> None:
        """Blocks while the client is behind, unless it has gone."""
        while not self._is_gone.is_set():
            try:
                self._pieces.put(piece, timeout=_LOOK)
                return
            except Full:
                continue  # the client is slow, or has gone meanwhile

    def output(self) -> Iterator[tuple[str, bytes]]:
        while not self._is_gone.is_set():
            try:
                piece = self._pieces.get(timeout=_LOOK)
            except Empty:
                continue
            if piece is None:
                return
            yield piece

    def write(self, data: bytes) -> None:
        self._process.write(data)

    def close_stdin(self) -> None:
        self._process.close_stdin()

    def detach(self) -> None:
        self._is_gone.set()


class Expectation:
    """A client that waits for a container to start. `wait` returns when it has.

    `is_claimed`: a start of this server has begun, and `run` or a failure is to come.
    """

    def __init__(self) -> None:
        self.is_claimed = False
        self._is_over = threading.Event()
        self.run: Run | None = None
        self.viewer: Viewer | None = None
        self.exit_code = 0  # of a start that failed

    def fulfil(self, run: Run) -> None:
        self.run, self.viewer = run, Viewer(run)
        self._is_over.set()

    def fail(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self._is_over.set()

    def wait(self, timeout: float) -> bool:
        return self._is_over.wait(timeout)


class Runs:
    """The expectations of all containers, by id."""

    def __init__(self, engine: EngineApi) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._expected: dict[str, list[Expectation]] = {}

    def expect(self, id: str) -> Expectation:
        """To be called before the container's state is looked at; `forget` is to follow."""
        expectation = Expectation()
        with self._lock:
            self._expected.setdefault(id, []).append(expectation)
        return expectation

    def forget(self, id: str, expectation: Expectation) -> bool:
        """Whether no start has claimed it: then a container that runs is not one of this server's
        starts, and nothing of its output was kept for the client."""
        with self._lock:
            waiting = self._expected.get(id, [])
            if expectation in waiting:
                waiting.remove(expectation)
            if not waiting:
                self._expected.pop(id, None)
            return not expectation.is_claimed

    def start(self, id: str) -> None:
        """Starts the container, with all clients that expect it. Raises what the engine raises."""
        with self._lock:
            waiting = self._expected.pop(id, [])
            for expectation in waiting:
                expectation.is_claimed = True
        try:
            run = self._started(id, wanted=bool(waiting))
        except DockmagicError as error:
            self._clear_away(id)
            for expectation in waiting:
                expectation.fail(error.exit_code)
            raise
        if run is not None:
            for expectation in waiting:
                expectation.fulfil(run)
            run.begin([e.viewer for e in waiting if e.viewer is not None])

    def _started(self, id: str, *, wanted: bool) -> Run | None:
        """The run, if it is wanted by a client that is there already."""
        if wanted:
            return Run(self._engine.containers.start_attached(id, owned=False))
        self._engine.containers.start(id)
        return None

    def _clear_away(self, id: str) -> None:
        """A container of `--rm` that could not start goes, as with Docker."""
        container = self._engine.containers.get(id)
        if container.spec is not None and container.spec.auto_remove:
            self._engine.containers.remove(id, force=True, volumes=True)
