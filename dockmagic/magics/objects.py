"""What the magics return for a container or an image: an object to go on working with.

A handle keeps an id and asks the engine each time, so what it says is true now. Its `repr` is one
line that is the same from run to run.
"""

from __future__ import annotations

import shlex
from types import TracebackType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dockmagic import commands
from dockmagic.commands.output.result import Attached, describe
from dockmagic.commands.references import familiar, name_of
from dockmagic.errors import ContainerExitError
from dockmagic.magics.failures import as_magic_errors, interruptible
from dockmagic.session import Session
from dockmagic.widgets.sanitize import clean
from dockmagic_runtime.model.container import Container as State
from dockmagic_runtime.model.container import ExecSpec
from dockmagic_runtime.model.image import Image as ImageState

if TYPE_CHECKING:
    from dockmagic.commands.container.diff import Changes
    from dockmagic.commands.container.explain import Explained
    from dockmagic.commands.container.logs import Logs
    from dockmagic.commands.image.history import ImageHistory
    from dockmagic.commands.image.layers import Layers
    from dockmagic_runtime.model.container import Stats


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


class Container:
    """A container: `web.logs()`, `web.exec("ls /")`, `web.stop()`."""

    def __init__(self, session: Session, id: str) -> None:
        self._session = session
        self.id = id

    def _run(self, *words: str) -> Any:
        """The result of a command that gives one at once."""
        with as_magic_errors():
            return commands.execute(self._session.engine, commands.parse(words))

    @property
    def state(self) -> State:
        """The engine's value, as it is now."""
        with as_magic_errors():
            return self._session.engine.containers.get(self.id)

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def image(self) -> str:
        return familiar(self.state.image)

    @property
    def status(self) -> str:
        return str(self.state.status)

    @property
    def exit_code(self) -> int:
        return self.state.exit_code

    @property
    def health(self) -> str:
        """`starting`, `healthy` or `unhealthy`; empty for one that is not checked."""
        return self.state.health

    @property
    def ip_address(self) -> str:
        return self.state.ip_address

    @property
    def ports(self) -> dict[str, int]:
        """Host port of each published port: `{"80/tcp": 9999}`."""
        ports = self.state.ports
        return {f"{p.container_port}/{p.protocol}": p.host_port for p in ports if p.host_port}

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.state.labels)

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

    def stats(self) -> Stats:
        with as_magic_errors():
            return self._session.engine.containers.stats(self.id)

    def exec(self, command: str | list[str], *, user: str = "", stdin: str = "") -> Completed:
        """Run a command in it and wait: a list as it is, a text split as a shell would."""
        words = shlex.split(command) if isinstance(command, str) else command
        spec = ExecSpec(command=tuple(words), user=user, open_stdin=bool(stdin))
        with as_magic_errors():
            process = self._session.engine.containers.exec(self.id, spec)
            attached = Attached(process, self.name, stdin=bool(stdin))
            return collect(attached, stdin=stdin.encode())

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

    def __repr__(self) -> str:
        from dockmagic_runtime.errors import NotFound

        try:
            return describe(self._session.engine.containers.get(self.id))
        except NotFound:
            return "a container that was removed"


class Image:
    """An image: `site.layers()`, `site.history()`."""

    def __init__(self, session: Session, id: str, text: str = "") -> None:
        self._session = session
        self.id = id
        self._text = text

    @property
    def state(self) -> ImageState:
        """The engine's value, as it is now."""
        with as_magic_errors():
            return self._session.engine.images.get(self.id)

    @property
    def short_id(self) -> str:
        return self.id.removeprefix("sha256:")[:12]

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(map(familiar, self.state.tags))

    @property
    def name(self) -> str:
        return name_of(self.state)

    @property
    def size(self) -> int:
        return self.state.size

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.state.config.labels)

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

    def _run(self, *words: str) -> Any:
        with as_magic_errors():
            return commands.execute(self._session.engine, commands.parse(words))

    def __repr__(self) -> str:
        return self._text or "an image"


def collect(attached: Attached, *, stdin: bytes = b"") -> Completed:
    """Run it to the end and keep what it writes instead of showing it."""
    from dockmagic.commands.container.foreground import watch

    kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    finished = watch(attached, lambda stream, data: kept[stream].extend(data), stdin=stdin)
    return Completed(
        attached.name,
        finished.exit_code,
        clean(bytes(kept["stdout"])),
        clean(bytes(kept["stderr"])),
    )
