"""From nodes and data to text: text/template's evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from dockmagic.commands.gotemplate import values
from dockmagic.commands.gotemplate.functions import FUNCTIONS
from dockmagic.commands.gotemplate.lexer import Source
from dockmagic.commands.gotemplate.parser import Command, Node, Nodes, Operand, Pipeline
from dockmagic.commands.gotemplate.values import GoError, WrongType
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.suggest import did_you_mean

_MOST_ROUNDS: Final = 10_000  # of a range over a number
_DEEPEST: Final = 50  # templates that execute templates


class _Leave(Exception):
    """`break` or `continue` on its way to the range that it ends."""


class _Break(_Leave):
    pass


class _Continue(_Leave):
    pass


class Execution(Struct):
    """One rendering: the variables in scope and the text so far."""

    source: Source
    templates: Mapping[str, Nodes]
    strict: bool
    scopes: list[dict[str, Any]]
    out: list[str] = field(default_factory=list)
    name: str = ""
    depth: int = 0

    def fail(self, operand: Operand | Command, reason: str, hint: str = "") -> InvalidInput:
        """Go's message: where in the text, in which template, at what."""
        first = operand.operands[0] if isinstance(operand, Command) else operand
        line, column = self.source.line(first.start), self.source.column(first.start)
        where = f"{self.source.name}:{line}:{column}"
        at = f'executing "{self.name}" at <{operand.text}>'
        return InvalidInput(f"template: {where}: {at}: {reason}", hint=hint)

    def nodes(self, nodes: Sequence[Node], dot: Any) -> None:
        for node in nodes:
            self.node(node, dot)

    def node(self, node: Node, dot: Any) -> None:
        match node.kind:
            case "text":
                self.out.append(node.text)
            case "break":
                raise _Break
            case "continue":
                raise _Continue
            case "range":
                self._scoped(lambda: self._range(node, dot))
            case "print":
                self._print(node, dot)
            case "template":
                self._template(node, dot)
            case _:
                self._scoped(lambda: self._choose(node, dot))

    def _print(self, node: Node, dot: Any) -> None:
        assert node.pipeline is not None
        value = self.pipeline(node.pipeline, dot)
        if not node.pipeline.names:
            self.out.append(values.show(value))

    def _template(self, node: Node, dot: Any) -> None:
        """Executes a named template with a dot and variables of its own."""
        if node.text not in self.templates:
            at = Operand("literal", text=f'{{{{template "{node.text}"}}}}', start=node.start)
            raise self.fail(at, f'template "{node.text}" not defined')
        if self.depth >= _DEEPEST:
            at = Operand("literal", text=f'{{{{template "{node.text}"}}}}', start=node.start)
            raise self.fail(at, f"exceeded maximum template depth ({_DEEPEST})")
        data = self.pipeline(node.pipeline, dot) if node.pipeline is not None else None
        inner = Execution(
            self.source, self.templates, self.strict, [{"$": data}], self.out, node.text,
            self.depth + 1,
        )  # fmt: skip
        inner.nodes(self.templates[node.text], data)

    def _scoped(self, action: Callable[[], None]) -> None:
        self.scopes.append({})
        try:
            action()
        finally:
            self.scopes.pop()

    def _choose(self, node: Node, dot: Any) -> None:
        assert node.pipeline is not None
        value = self.pipeline(node.pipeline, dot)
        if values.is_true(value):
            self.nodes(node.body, value if node.kind == "with" else dot)
        else:
            self.nodes(node.otherwise, dot)

    def _range(self, node: Node, dot: Any) -> None:
        assert node.pipeline is not None
        value = self.pipeline(node.pipeline, dot, declare=False)
        pairs = self._pairs(node.pipeline.commands[-1], value)
        if not pairs:
            return self.nodes(node.otherwise, dot)
        for key, item in pairs:
            self._declare_pair(node.pipeline.names, key, item)
            try:
                self.nodes(node.body, item)
            except _Continue:
                continue
            except _Break:
                break
        return None

    def _pairs(self, command: Command, value: Any) -> list[tuple[Any, Any]]:
        if (pairs := values.entries(value)) is not None:
            return list(pairs.items())
        if (elements := values.items(value)) is not None:
            return list(enumerate(elements))
        if isinstance(value, int) and not isinstance(value, bool):
            return [(number, number) for number in range(min(value, _MOST_ROUNDS))]
        if values.is_nil(value):
            return []
        raise self.fail(command, f"range can't iterate over {values.show(value)}")

    def _declare_pair(self, names: tuple[str, ...], key: Any, item: Any) -> None:
        if names:
            self.scopes[-1][names[-1]] = item
        if len(names) == 2:
            self.scopes[-1][names[0]] = key

    def pipeline(self, pipeline: Pipeline, dot: Any, *, declare: bool = True) -> Any:
        value: Any = None
        for index, command in enumerate(pipeline.commands):
            piped = (value,) if index else ()
            value = self._command(command, dot, piped)
        if declare and pipeline.names:
            name = pipeline.names[0]
            scope = self._scope_of(name) if pipeline.assigns else self.scopes[-1]
            scope[name] = value
        return value

    def _scope_of(self, name: str) -> dict[str, Any]:
        """The scope that has a variable; the parser has seen its declaration."""
        return next(scope for scope in reversed(self.scopes) if name in scope)

    def _command(self, command: Command, dot: Any, piped: tuple[Any, ...]) -> Any:
        head, *rest = command.operands
        if head.kind == "function" and head.value in ("and", "or"):
            return self._lazily(head.value, rest, dot, piped)
        arguments = (*(self._value(operand, dot) for operand in rest), *piped)
        if head.kind == "function":
            return self._function(command, arguments)
        value = self._value(head, dot, arguments)
        if arguments and not head.path:
            raise self.fail(head, f"can't give argument to non-function {head.text}")
        return value

    def _function(self, command: Command, arguments: tuple[Any, ...]) -> Any:
        head, *rest = command.operands
        try:
            return self._call(command, str(head.value), FUNCTIONS[head.value], arguments)
        except WrongType as error:
            # blamed on the argument, as Go does, which checks types before the call
            guilty = [
                op for op, value in zip(rest, arguments, strict=False) if value is error.value
            ]
            raise self.fail(guilty[0] if guilty else command, str(error)) from None

    def _lazily(
        self, name: str, operands: Sequence[Operand], dot: Any, piped: tuple[Any, ...]
    ) -> Any:
        """`and` and `or` stop at the first value that decides."""
        value: Any = None
        for operand in operands:
            value = self._value(operand, dot)
            if values.is_true(value) is (name == "or"):
                return value
        return piped[0] if piped else value

    def _value(self, operand: Operand, dot: Any, arguments: tuple[Any, ...] = ()) -> Any:
        match operand.kind:
            case "literal":
                return operand.value
            case "variable":
                name = str(operand.value)
                start = self._scope_of(name)[name]
            case "pipeline":
                start = self.pipeline(operand.value, dot)
            case "function":
                function = FUNCTIONS[operand.value]
                return self._call(Command((operand,)), str(operand.value), function, ())
            case _:
                start = dot
        return self._walk(operand, start, arguments)

    def _walk(self, operand: Operand, value: Any, arguments: tuple[Any, ...]) -> Any:
        static_type = ""
        for index, name in enumerate(operand.path):
            is_json = isinstance(value, Mapping)
            value = self._select(operand, value, name, static_type)
            static_type = "interface {}" if is_json else ""
            last = index == len(operand.path) - 1
            if callable(value):
                method = value
                value = self._call(operand, name, method, arguments if last else ())
            elif last and arguments:
                reason = f"{name} has arguments but cannot be invoked as function"
                raise self.fail(operand, reason)
        return value

    def _select(self, operand: Operand, value: Any, name: str, static_type: str) -> Any:
        try:
            return values.select(value, name, strict=self.strict, static_type=static_type)
        except GoError as error:
            hint = did_you_mean(name, values.names_of(value), prefix=".")
            raise self.fail(operand, str(error), hint) from None

    def _call(
        self,
        at: Operand | Command,
        name: str,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> Any:
        try:
            return function(*arguments)
        except WrongType:
            raise
        except (GoError, TypeError, ValueError, OverflowError) as error:
            raise self.fail(at, f"error calling {name}: {error}") from None
