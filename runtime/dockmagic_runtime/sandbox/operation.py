"""The plan is data: small frozen operations that describe, execute and undo themselves.

An operation's fields are JSON values, so that a plan crosses the socket to the launcher, is kept
beside the container for `%explain`, and is compared in tests. What an operation learns while it
runs (file descriptors, pids) goes into the `Context`, never into the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import asdict

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox.slots import Slots

if TYPE_CHECKING:
    import socket

    from dockmagic_runtime.linux.root import Root


class Context(Struct):
    """What the operations of one start share. Descriptors belong to the process that opened them.

    `root` is the container's root once it is mounted (in the child); `null_fd` its /dev/null,
    made by us; `sync` the child's socket to its supervisor. `init_pid` and `netns_fd` are known
    to the supervisor once the child has unshared; `inside_netlink` is the descriptor of a route
    netlink socket that was made inside the container's network namespace. `slots` keeps
    what must stay open while the container lives (listening sockets).
    """

    linux: Linux
    root: Root | None = None
    null_fd: int = -1
    sync: socket.socket | None = None
    init_pid: int = 0
    netns_fd: int = -1
    inside_netlink: int = -1
    slots: Slots = field(default_factory=dict)


class Operation(Protocol):
    """One step. `execute` raises OSError or a DockmagicError and then has changed nothing.

    `undo` is called only after a successful `execute`, at most once, in reverse order. It does
    nothing for what the kernel removes with the namespace.

    `calls` names the system calls and messages that do it, `undoing` says how it ends: both are
    what `%explain` shows beside `describe()`.
    """

    calls: ClassVar[tuple[str, ...]]
    undoing: ClassVar[str]

    def describe(self) -> str: ...
    def execute(self, context: Context) -> None: ...
    def undo(self, context: Context) -> None: ...


class Kept(Operation, Protocol):
    """An operation whose effect hangs on the process that executed it: on its descriptors, or on
    what it answers for while the container runs.

    A start is carried out by a process of its own, which ends when the program runs. `keep` says
    there, as JSON and descriptors, what `take_over` puts into the supervisor's context. `resume`
    is called instead of `execute` by who follows a supervisor that was killed: the effect is there,
    and the context is to be as if we had had it. `netns_fd` is then a pidfd of the program.
    """

    def resume(self, context: Context) -> None: ...
    def keep(self, context: Context) -> tuple[Any, tuple[int, ...]]: ...
    def take_over(self, context: Context, value: Any, fds: Sequence[int]) -> None: ...


class UndoneByKernel(Struct, frozen=True):
    """Base of the operations whose effect ends with the child or with its namespaces."""

    undoing: ClassVar[str] = "the kernel, when the container's namespaces end"

    def undo(self, context: Context) -> None:
        """Nothing to do: see the class."""


_KINDS: dict[str, type[Any]] = {}
Kind = TypeVar("Kind", bound=type[Any])


def operation(kind: Kind) -> Kind:
    """Class decorator: lets the operation cross a process border under its class name."""
    _KINDS[kind.__name__] = kind
    return kind


def to_wire(operations: Sequence[Operation]) -> list[list[Any]]:
    """[[class name, {field: value}], …], ready for JSON."""
    return [[type(one).__name__, asdict(one)] for one in operations]  # type: ignore[arg-type]


def from_wire(wire: list[list[Any]]) -> tuple[Operation, ...]:
    """The inverse of `to_wire`; JSON arrays become tuples."""
    return tuple(_rebuild(name, values) for name, values in wire)


def _rebuild(name: str, values: dict[str, Any]) -> Operation:
    try:
        kind = _KINDS[name]
    except KeyError:
        raise EngineBug(f"the plan names an operation that nobody registered: {name}") from None
    made: Operation = kind(**{key: _frozen(value) for key, value in values.items()})
    return made


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
