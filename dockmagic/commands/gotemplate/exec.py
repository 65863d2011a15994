"""Nodes and data to text: Go's text/template/exec.go, with its error messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from dockmagic.commands.gotemplate import nodes
from dockmagic.commands.gotemplate.evaluate import Evaluator
from dockmagic.commands.gotemplate.values import (
    INVALID,
    Value,
    indirect,
    is_true,
    items,
    show,
    text_of,
    value_of,
)
from dockmagic_runtime.model.go_values import quote

_DEEPEST: Final = 100_000  # templates that call templates, as Go counts


class _Leave(Exception):
    """`break` or `continue` on its way to its range."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Executor(Evaluator):
    """One rendering: the text so far, and how deep templates have called one another."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._depth = 0
        self.out: list[str] = []

    def run(self, data: Any) -> str:
        dot = value_of(data)
        self._variables = [("$", dot)]
        self._walk_all(dot, self._templates[self._name])
        return "".join(self.out)

    # ---------------------------------------------------------------- blocks

    def _walk_all(self, dot: Value, body: Sequence[nodes.Node]) -> None:
        for node in body:
            self._walk(dot, node)

    def _walk(self, dot: Value, node: nodes.Node) -> None:
        self._node = node
        match node:
            case nodes.Text():
                self.out.append(node.text)
            case nodes.Action():
                value = self._pipeline(dot, node.pipeline)
                if not node.pipeline.variables:
                    self._print(node, value)
            case nodes.Block(kind="range"):
                self._scoped(lambda: self._range(dot, node))
            case nodes.Block():
                self._scoped(lambda: self._choose(dot, node))
            case nodes.Leave():
                raise _Leave(node.kind)
            case nodes.Call():
                self._call_template(dot, node)

    def _scoped(self, action: Callable[[], None]) -> None:
        """Variables that are declared in it end with it."""
        count = len(self._variables)
        try:
            action()
        finally:
            del self._variables[count:]

    def _choose(self, dot: Value, node: nodes.Block) -> None:
        value = self._pipeline(dot, node.pipeline)
        if is_true(value):
            self._walk_all(value if node.kind == "with" else dot, node.body)
        else:
            self._walk_all(dot, node.otherwise)

    def _range(self, dot: Value, node: nodes.Block) -> None:
        value, _ = indirect(self._pipeline(dot, node.pipeline))
        match value.kind:
            case "map" | "slice":
                pairs = list(items(value))
            case "int":
                if len(node.pipeline.variables) > 1:
                    raise self._error(
                        f"can't use {text_of(value)} to iterate over more than one variable"
                    )
                pairs = [(INVALID, Value(value.type, number)) for number in range(value.data)]
            case "invalid" | "interface" | "pointer":
                pairs = []
            case _:
                raise self._error(f"range can't iterate over {text_of(value)}")
        try:
            for key, item in pairs:
                self._iterate(node, key, item)
        except _Leave:
            return
        if not pairs:
            self._walk_all(dot, node.otherwise)

    def _iterate(self, node: nodes.Block, key: Value, item: Value) -> None:
        def once() -> None:
            names = node.pipeline.variables
            if names:
                self._set(names[-1], item, declares=not node.pipeline.assigns)
            if len(names) == 2:
                self._set(names[0], key, declares=not node.pipeline.assigns)
            try:
                self._walk_all(item, node.body)
            except _Leave as leave:
                if leave.kind == "break":
                    raise

        self._scoped(once)

    def _call_template(self, dot: Value, node: nodes.Call) -> None:
        body = self._templates.get(node.name)
        if body is None:
            raise self._error(f"template {quote(node.name)} not defined")
        if self._depth == _DEEPEST:
            raise self._error(f"exceeded maximum template depth ({_DEEPEST})")
        argument = self._pipeline(dot, node.pipeline) if node.pipeline else INVALID
        outer = self._variables, self._running
        self._variables, self._running = [("$", argument)], node.name
        self._depth += 1
        self._walk_all(argument, body)
        self._depth -= 1
        self._variables, self._running = outer

    def _print(self, node: nodes.Node, value: Value) -> None:
        self._node = node
        if value.kind == "func":
            raise self._error(f"can't print {node} of type {value.type}")
        self.out.append(show(value))
