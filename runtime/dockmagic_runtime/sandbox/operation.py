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

    In the child: `root` is the container's root once it is mounted, `null_fd` its /dev/null, made
    by us, `sync` the socket to the start process. In the start process `init_pid` is set after the
    fork, `netns_fd` and `inside_netlink`, a route netlink socket made inside the container's
    network namespace, once the child has unshared. A supervisor that takes over has the first two.
    `slots` keeps what must stay open while the container lives (listening sockets).
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
    """An operation with an effect that needs a process while the container runs: its descriptors,
    or a service.

    The start process, which executes it, ends when the program runs. Its `keep` returns, as JSON
    and descriptors, what `take_over` puts into the supervisor's context. A supervisor that takes
    over from a killed one calls `resume` instead of `execute`: the effect is there, and the context
    is filled as if this process had executed it. `netns_fd` is then a pidfd of the program.
    """

    def resume(self, context: Context) -> None: ...
    def keep(self, context: Context) -> tuple[Any, tuple[int, ...]]: ...
    def take_over(self, context: Context, value: Any, fds: Sequence[int]) -> None: ...


class UndoneByKernel(Struct, frozen=True):
    """Base of operations that the kernel undoes: with the child, or with its namespaces."""

    undoing: ClassVar[str] = "the kernel, when the container's namespaces end"

    def undo(self, context: Context) -> None:
        """Nothing to do: see the class."""


_KINDS: dict[str, type[Any]] = {}
Kind = TypeVar("Kind", bound=type[Any])


def operation(kind: Kind) -> Kind:
    """Class decorator: registers the operation, which crosses process borders by its class name."""
    _KINDS[kind.__name__] = kind
    return kind


def to_wire(operations: Sequence[Operation]) -> list[list[Any]]:
    """[[class name, {field: value}], …] of plain values, for JSON or marshal."""
    return [[type(each).__name__, asdict(each)] for each in operations]  # type: ignore[arg-type]


def tagged(operations: Sequence[Operation]) -> list[tuple[str, Operation]]:
    """The same for msgspec, which encodes a Struct as its fields: an eighth of the time."""
    return [(type(each).__name__, each) for each in operations]


def from_wire(wire: list[list[Any]]) -> tuple[Operation, ...]:
    """The inverse of `to_wire`; JSON arrays become tuples."""
    return tuple(_rebuild(name, values) for name, values in wire)


def _rebuild(name: str, values: dict[str, Any]) -> Operation:
    try:
        kind = _KINDS[name]
    except KeyError:
        raise EngineBug(f"the plan names an operation that is not registered: {name}") from None
    # not msgspec.convert: the types of these fields, which it would look up once in each new
    # process, cost a start 1 ms; building the values costs 60 µs
    rebuilt: Operation = kind(**{key: frozen(value) for key, value in values.items()})
    return rebuilt


def frozen(value: Any) -> Any:
    """A decoded JSON value with tuples for arrays."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value
