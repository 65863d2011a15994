"""What the magics return for a container or an image: an object to go on working with.

A handle keeps an id and asks the engine each time, so what it says is true now. Its `repr` is one
line that is the same from run to run.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec import Struct

from dockmagic import commands
from dockmagic.commands.output.result import Attached, Finished, Result, describe
from dockmagic.commands.references import familiar, name_of
from dockmagic.errors import ContainerExitError
from dockmagic.magics.failures import as_magic_errors, interruptible
from dockmagic.magics.streams import CellOutput, Limits, Streams
from dockmagic.session import Session
from dockmagic.widgets import container_bundle
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.commit import CommitSpec
from dockmagic_runtime.model.container import Container as State
from dockmagic_runtime.model.container import ExecSpec
from dockmagic_runtime.model.image import Image as ImageState

if TYPE_CHECKING:
    from dockmagic.commands.container.diff import Changes
    from dockmagic.commands.container.explain import Explained
    from dockmagic.commands.container.logs import Logs
    from dockmagic.commands.image.history import ImageHistory
    from dockmagic.commands.image.layers import Layers
    from dockmagic.magics.tables import Table


class Completed(Struct, frozen=True):
    """A command that ran to its end, with what it wrote."""

    name: str
    exit_code: int
    stdout: str = ""
    stderr: str = ""

    def check(self) -> Completed:
        """Itself, or ContainerExitError if the exit code is not 0."""
        if self.exit_code:
            raise ContainerExitError(self.name, self.exit_code)
        return self

    def __str__(self) -> str:
        return self.stdout

    def __repr__(self) -> str:
        return f"exited with {self.exit_code}"


class ExecResult(NamedTuple):
    """As docker-py has it: the exit code, and stdout and stderr as they came."""

    exit_code: int
    output: bytes


class Maker(Protocol):
    """Makes handles: the runner."""

    def container(self, id: str) -> Container:
        """The handle of the container with that id."""

    def image(self, id: str, name: str = "") -> Image:
        """The handle of the image with that id, called by `name`."""

    def present(self, result: Result) -> Any:
        """What a cell is given for a result."""


class Handle:
    """Base of the objects that stand for one thing of the engine, by its id."""

    def __init__(self, session: Session, id: str, maker: Maker) -> None:
        self._session = session
        self._maker = maker
        self.id = id

    def _run(self, *words: str) -> Any:
        """The result of a command that gives one at once, as a magic returns it."""
        with as_magic_errors():
            result = commands.execute(self._session.engine, commands.parse(words))
            assert isinstance(result, Result)
            return self._maker.present(result)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and (type(other), other.id) == (type(self), self.id)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.id))

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if not name.startswith("_"))


class Container(Handle):
    """A container: `web.logs()`, `web.exec("ls /")`, `web.stop()`.

    The names are those of docker-py. What an attribute says is true now: each asks the engine.
    """

    def __init__(self, session: Session, id: str, maker: Maker, limits: Limits) -> None:
        super().__init__(session, id, maker)
        self._limits = limits  # of what a command in it may write into a cell

    @property
    def _state(self) -> State:
        """The engine's value, as it is now."""
        with as_magic_errors():
            return self._session.engine.containers.get(self.id)

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def image(self) -> str:
        return familiar(self._state.image)

    @property
    def status(self) -> str:
        return str(self._state.status)

    @property
    def exit_code(self) -> int:
        return self._state.exit_code

    @property
    def health(self) -> str:
        """`starting`, `healthy` or `unhealthy`; empty for one that is not checked."""
        return self._state.health

    @property
    def ip_address(self) -> str:
        return self._state.ip_address

    @property
    def ports(self) -> dict[str, int]:
        """Host port of each published port: `{"80/tcp": 9999}`."""
        ports = self._state.ports
        return {f"{p.container_port}/{p.protocol}": p.host_port for p in ports if p.host_port}

    @property
    def labels(self) -> dict[str, str]:
        return dict(self._state.labels)

    def inspect(self) -> dict[str, Any]:
        """Docker's JSON."""
        with as_magic_errors():
            return self._session.engine.containers.inspect(self.id)

    def logs(self, tail: int | None = None) -> Logs:
        count = [] if tail is None else [f"--tail={tail}"]
        hit: Logs = self._run("logs", *count, self.id)
        return hit

    def diff(self) -> Changes:
        hit: Changes = self._run("diff", self.id)
        return hit

    def explain(self) -> Explained:
        hit: Explained = self._run("explain", self.id)
        return hit

    def stats(self) -> Table:
        """What it uses now; shown by itself in a cell it is a live view."""
        hit: Table = self._run("stats", "--no-stream", self.id)
        return hit

    def top(self, ps_args: str = "") -> Result:
        """Its processes."""
        hit: Result = self._run("top", self.id, *shlex.split(ps_args))
        return hit

    @property
    def attrs(self) -> dict[str, Any]:
        """Docker's JSON, as `inspect()`."""
        return self.inspect()

    def reload(self) -> None:
        """Does nothing: attributes are never old. docker-py's programs call it."""

    def exec(
        self, command: str | list[str], *, user: str = "", stdin: str = "", check: bool = True
    ) -> Completed:
        """Run a command in it, as `%exec`: its output goes to the cell, and is returned.

        A list is run as it is, a text is split as a shell would. Raises ContainerExitError for an
        exit code that is not 0, unless `check` is off.
        """
        streams = Streams(CellOutput(self._limits, "exec_run() returns all of it"))
        with closing(streams):
            finished = self._exec(command, user, stdin, streams.write)
        completed = Completed(
            self.name, finished.exit_code, streams.text("stdout"), streams.text("stderr")
        )
        return completed.check() if check else completed

    def exec_run(self, cmd: str | list[str], *, user: str = "", stdin: str = "") -> ExecResult:
        """Run a command in it and return its exit code and output; nothing is shown."""
        output = bytearray()
        finished = self._exec(cmd, user, stdin, lambda _, data: output.extend(data))
        return ExecResult(finished.exit_code, bytes(output))

    def _exec(
        self, command: str | list[str], user: str, stdin: str, sink: Callable[[str, bytes], None]
    ) -> Finished:
        from dockmagic.commands.container.foreground import watch

        words = shlex.split(command) if isinstance(command, str) else command
        spec = ExecSpec(command=tuple(words), user=user, open_stdin=bool(stdin))
        name = self.name
        with as_magic_errors(), interruptible(lambda _: f"the command in {name} stopped"):
            process = self._session.engine.containers.exec(self.id, spec)
            attached = Attached(process, name, stdin=bool(stdin))
            return watch(attached, sink, stdin=stdin.encode())

    def rename(self, name: str) -> None:
        with as_magic_errors():
            self._session.engine.containers.rename(self.id, name)

    def commit(self, repository: str = "", tag: str = "") -> Image:
        """Make an image of its files."""
        name = f"{repository}:{tag}" if tag else repository
        with as_magic_errors():
            spec = CommitSpec(reference=name)
            image = self._session.engine.containers.commit(self.id, spec)
        return self._maker.image(image.id, name)

    def start(self) -> Container:
        with as_magic_errors():
            self._session.engine.containers.start(self.id)
        return self

    def stop(self, timeout: float | None = None) -> Container:
        with as_magic_errors():
            self._session.engine.containers.stop(self.id, timeout=timeout)
        return self

    def restart(self, timeout: float | None = None) -> Container:
        with as_magic_errors():
            self._session.engine.containers.restart(self.id, timeout=timeout)
        return self

    def kill(self, signal: str = "KILL") -> Container:
        with as_magic_errors():
            self._session.engine.containers.kill(self.id, signal)
        return self

    def pause(self) -> Container:
        with as_magic_errors():
            self._session.engine.containers.pause(self.id)
        return self

    def unpause(self) -> Container:
        with as_magic_errors():
            self._session.engine.containers.unpause(self.id)
        return self

    def wait(self) -> int:
        """Block until it ends; its exit code."""
        name = self.name
        with as_magic_errors(), interruptible(lambda _: f"no longer waiting for {name}"):
            return self._session.engine.containers.wait(self.id)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        with as_magic_errors():
            self._session.engine.containers.remove(self.id, force=force, volumes=volumes)

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove(force=True)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        try:
            return container_bundle(self._session.engine.containers.get(self.id))
        except NotFound:
            return {"text/plain": repr(self)}

    def __repr__(self) -> str:
        try:
            return describe(self._session.engine.containers.get(self.id))
        except NotFound:
            return "a container that was removed"


class Image(Handle):
    """An image: `site.layers()`, `site.history()`."""

    def __init__(self, session: Session, id: str, maker: Maker, text: str = "") -> None:
        super().__init__(session, id, maker)
        self._text = text

    @property
    def _state(self) -> ImageState:
        """The engine's value, as it is now."""
        with as_magic_errors():
            return self._session.engine.images.get(self.id)

    @property
    def short_id(self) -> str:
        return self.id.removeprefix("sha256:")[:12]

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(map(familiar, self._state.tags))

    @property
    def name(self) -> str:
        return name_of(self._state)

    @property
    def size(self) -> int:
        return self._state.size

    @property
    def labels(self) -> dict[str, str]:
        return dict(self._state.config.labels)

    def layers(self) -> Layers:
        hit: Layers = self._run("layers", self.id)
        return hit

    def history(self) -> ImageHistory:
        hit: ImageHistory = self._run("history", self.id)
        return hit

    def inspect(self) -> dict[str, Any]:
        """Docker's JSON."""
        with as_magic_errors():
            return self._session.engine.images.inspect(self.id)

    def tag(self, name: str) -> Image:
        with as_magic_errors():
            self._session.engine.images.tag(self.id, name)
        return self

    def remove(self, *, force: bool = False) -> None:
        with as_magic_errors():
            self._session.engine.images.remove(self.id, force=force)

    @property
    def attrs(self) -> dict[str, Any]:
        """Docker's JSON, as `inspect()`."""
        return self.inspect()

    def __repr__(self) -> str:
        return self._text or "an image"
