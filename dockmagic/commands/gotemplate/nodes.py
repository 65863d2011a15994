"""The nodes of a parsed template, and their source as Go's error messages show it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Node(Struct, frozen=True, kw_only=True):
    """Base of all nodes. `position` is a character of the text."""

    position: int


class Text(Node, frozen=True):
    text: str


class Bool(Node, frozen=True):
    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


class Number(Node, frozen=True):
    source: str
    value: int | float

    def __str__(self) -> str:
        return self.source


class String(Node, frozen=True):
    source: str
    value: str

    def __str__(self) -> str:
        return self.source


class Dot(Node, frozen=True):
    def __str__(self) -> str:
        return "."


class Nil(Node, frozen=True):
    def __str__(self) -> str:
        return "nil"


class Identifier(Node, frozen=True):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


class Field(Node, frozen=True):
    """`.A.B`"""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


class Variable(Node, frozen=True):
    """`$x.A.B`"""

    name: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


class Chain(Node, frozen=True):
    """`(…).A.B`"""

    node: Any
    names: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipeline) else str(self.node)
        return inner + "".join(f".{name}" for name in self.names)


class Command(Node, frozen=True):
    """A function or a value, and its arguments."""

    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return " ".join(
            f"({argument})" if isinstance(argument, Pipeline) else str(argument)
            for argument in self.arguments
        )


class Pipeline(Node, frozen=True):
    """Commands, each of which takes the value of the one before; and the variables they set."""

    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    assigns: bool = False  # `=`: the variable exists already

    def __str__(self) -> str:
        head = ", ".join(self.variables) + (" = " if self.assigns else " := ")
        return (head if self.variables else "") + " | ".join(map(str, self.commands))


class Action(Node, frozen=True):
    pipeline: Pipeline

    def __str__(self) -> str:
        return f"{{{{{self.pipeline}}}}}"


class Block(Node, frozen=True):
    """`if`, `with` or `range`."""

    kind: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...] = ()


class Leave(Node, frozen=True):
    """`break` or `continue`."""

    kind: str


class Call(Node, frozen=True):
    """`{{template "name" pipeline}}`"""

    source: str
    name: str
    pipeline: Pipeline | None

    def __str__(self) -> str:
        argument = f" {self.pipeline}" if self.pipeline else ""
        return f"{{{{template {self.source}{argument}}}}}"


class End(Node, frozen=True):
    """`{{end}}` or `{{else}}`: the parser needs them, the result has none."""

    kind: str

    def __str__(self) -> str:
        return f"{{{{{self.kind}}}}}"
