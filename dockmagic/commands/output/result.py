"""What a command gives back: a `Result`, or a stream of events that ends with one.

`str(result)` is what Docker's client would print. `repr(result)` is the same without what differs
from run to run (ids, ages, sizes), so that a notebook which shows it can be compared with itself.
Iterating gives one dict a row, which is what `pandas.DataFrame(result)` wants. Results hold
values of the engine's model and know neither IPython nor HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dockmagic_runtime.errors import DockmagicError, InvalidInput
from dockmagic_runtime.model.utf8 import encoded

if TYPE_CHECKING:
    from dockmagic_runtime import ProcessApi
    from dockmagic_runtime.model.build import BuildEvent
    from dockmagic_runtime.model.container import Container
    from dockmagic_runtime.model.progress import PullEvent

_ID = r"[0-9a-f]{12}|[0-9a-f]{64}"


class Result(Struct, frozen=True):
    """Base of all results."""

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        return 1 if self.errors else 0

    @property
    def errors(self) -> tuple[DockmagicError, ...]:
        """What failed for some of several names, while the others were done."""
        return ()

    @property
    def trailer(self) -> str:
        """The line that Docker's client writes below the errors, if it has one."""
        return ""

    @property
    def harmless(self) -> tuple[DockmagicError, ...]:
        """What Docker shows as an error and does not count as one."""
        return ()

    def text(self) -> str:
        """As Docker's client prints it, without the last newline."""
        return ""

    def stable(self) -> str:
        """The same without ids, times and sizes."""
        return self.text()

    def rows(self) -> list[dict[str, Any]]:
        """One dict a row, for pandas."""
        return []

    @property
    def df(self) -> Any:
        """The rows as a pandas data frame. Raises MagicError where pandas is not installed."""
        from dockmagic.commands.output.frame_of_rows import data_frame

        return data_frame(self.rows())

    def chunks(self) -> Iterator[Chunk]:
        """`text()` in the streams it belongs to."""
        text = self.text()
        if text or self.has_empty_lines:
            yield line(text)

    @property
    def has_empty_lines(self) -> bool:
        """Whether a text that is empty is a line all the same."""
        return False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.stable()


class Chunk(Struct, frozen=True):
    """Bytes for one of the caller's streams, as they came."""

    stream: str  # "stdout" | "stderr"
    data: bytes


class Attached(Struct, frozen=True):
    """A process in the foreground: the caller passes its streams on and waits for it.

    `name` is for messages; `streams` are those the caller wants to see.
    """

    process: ProcessApi
    name: str
    tty: bool = False
    stdin: bool = False
    streams: frozenset[str] = frozenset(["stdout", "stderr"])
    detach_keys: str = "ctrl-p,ctrl-q"
    proxy_signals: bool = True
    detach_code: int = 0  # what Docker's client exits with after the detach keys
    joined: bool = False  # it was there before, and goes on when the caller leaves


class Question(Struct, frozen=True):
    """An action that cannot be undone: `proceed` does it after the user has confirmed.

    Where no user can be asked, `unanswered()` is the error: the verb needs its `--force`.
    """

    verb: str
    text: str
    proceed: Callable[[], Result]

    def unanswered(self) -> InvalidInput:
        return InvalidInput(
            f"'docker {self.verb}' asks before it removes anything, and no answer is possible here",
            hint=f"if you are sure: docker {self.verb} --force",
        )


if TYPE_CHECKING:
    Event = Chunk | PullEvent | BuildEvent | Attached | Question | Result
    Outcome = Result | Iterator[Event]
else:
    Event = Outcome = object  # for annotations; a verb that yields events loads their classes


def notice(text: str) -> Chunk:
    """A line for stderr."""
    return line(text, "stderr")


def line(text: str, stream: str = "stdout") -> Chunk:
    """A line of text; what is no UTF-8 in it shows as U+FFFD, as in Go's JSON."""
    return Chunk(stream, encoded(f"{text}\n"))


class Nothing(Result, frozen=True):
    """Docker prints nothing here, and all went well."""


class Text(Result, frozen=True):
    """Lines to be read by people. `plain` is its stable form, when that differs."""

    content: str
    plain: str | None = None

    def text(self) -> str:
        return self.content

    def stable(self) -> str:
        return self.content if self.plain is None else self.plain

    def rows(self) -> list[dict[str, Any]]:
        return [{"line": line} for line in self.content.splitlines()]


class Started(Result, frozen=True):
    """A container that was made or started: Docker prints its id, or the name it was called by."""

    container: Container
    printed: str = ""

    def text(self) -> str:
        return self.printed or self.container.id

    def stable(self) -> str:
        return describe(self.container)

    def rows(self) -> list[dict[str, Any]]:
        return [{"id": self.container.id, "name": self.container.name}]


class Finished(Result, frozen=True):
    """A foreground process has ended, or was left running by its detach keys."""

    name: str
    code: int
    detached: bool = False

    @property
    def exit_code(self) -> int:
        return self.code

    def stable(self) -> str:
        return f"exited with {self.code}"

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": self.name, "exit_code": self.code}]


class NameList(Result, frozen=True):
    """What was done, one name a line, and what could not be."""

    done: tuple[str, ...]
    failed: tuple[DockmagicError, ...] = ()
    failed_names: tuple[str, ...] = ()
    ignored: tuple[DockmagicError, ...] = ()

    @property
    def errors(self) -> tuple[DockmagicError, ...]:
        return self.failed

    @property
    def trailer(self) -> str:
        """The line that Docker's client writes below the errors, if it has one."""
        return ""

    @property
    def harmless(self) -> tuple[DockmagicError, ...]:
        return self.ignored

    def text(self) -> str:
        return "\n".join(self.done)

    def stable(self) -> str:
        return "\n".join("(id)" if re.fullmatch(_ID, name) else name for name in self.done)

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.done]


def each(
    names: Iterable[str],
    action: Callable[[str], object],
    *,
    ignores: type[DockmagicError] | tuple[()] = (),
) -> NameList:
    """Do it to each: as Docker does, one that fails does not keep the next from its turn.

    Errors of the type `ignores` are shown and do not count.
    """
    done: list[str] = []
    failed: dict[str, DockmagicError] = {}
    ignored: list[DockmagicError] = []
    for name in names:
        try:
            action(name)
        except ignores as error:
            ignored.append(error)
        except DockmagicError as error:
            failed[name] = error
        else:
            done.append(name)
    return NameList(tuple(done), tuple(failed.values()), tuple(failed), tuple(ignored))


def describe(container: Container) -> str:
    """One line on a container: its name if a user chose it, image, state and ports."""
    ports = ", ".join(str(port) for port in container.ports if port.host_port)
    name = container.name if is_named(container) else ""
    return "  ".join(part for part in (name, container.image, str(container.status), ports) if part)


def is_named(container: Container) -> bool:
    """Whether a person chose the name: a random one differs from run to run."""
    return container.spec is None or bool(container.spec.name)
