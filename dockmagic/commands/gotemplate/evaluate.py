"""The values of pipelines, fields and calls: the second half of Go's text/template/exec.go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dockmagic.commands.gotemplate import nodes
from dockmagic.commands.gotemplate.errors import GoError, TemplateError
from dockmagic.commands.gotemplate.functions import Function
from dockmagic.commands.gotemplate.parser import Nodes
from dockmagic.commands.gotemplate.types import ANY, FLOAT, INT, STRING, STRINGS, GoType
from dockmagic.commands.gotemplate.values import (
    INVALID,
    UNKNOWN,
    Value,
    field,
    indirect,
    indirect_interface,
    is_true,
    string,
    value_of,
)
from dockmagic_runtime.model.go_values import quote
from dockmagic_runtime.wire import go

_MISSING: Final = Value(GoType("missing"))  # no value comes through the pipe
_CONSTANTS: Final = (nodes.Bool, nodes.Number, nodes.String)


class Evaluator:
    """Evaluates the pipelines of one rendering.

    `strict` refuses names that a map does not have (Go's option missingkey=error).
    """

    def __init__(
        self,
        text: str,
        name: str,
        templates: Mapping[str, Nodes],
        functions: Mapping[str, Function],
        *,
        strict: bool = False,
    ) -> None:
        self._text = text
        self._name = name
        self._running = name
        self._templates = templates
        self._functions = functions
        self._strict = strict
        self._node: nodes.Node | None = None
        self._variables: list[tuple[str, Value]] = []

    def _error(self, message: str) -> TemplateError:
        if self._node is None:
            return TemplateError(f"template: {self._running}: {message}")
        before = self._text[: self._node.position]
        line = before.count("\n") + 1
        column = len(before[before.rfind("\n") + 1 :].encode("utf-8", "surrogateescape"))
        return TemplateError(
            f"template: {self._name}:{line}:{column}: executing {quote(self._running)} "
            f"at <{self._node}>: {message}"
        )

    # ------------------------------------------------------------- variables

    def _set(self, name: str, value: Value, *, declares: bool) -> None:
        if declares:
            self._variables.append((name, value))
            return
        for index in range(len(self._variables) - 1, -1, -1):
            if self._variables[index][0] == name:
                self._variables[index] = (name, value)
                return
        raise self._error(f"undefined variable: {name}")

    def _variable(self, name: str) -> Value:
        for index in range(len(self._variables) - 1, -1, -1):
            if self._variables[index][0] == name:
                return self._variables[index][1]
        raise self._error(f"undefined variable: {name}")

    # ------------------------------------------------------------- pipelines

    def _pipeline(self, dot: Value, pipeline: nodes.Pipeline) -> Value:
        self._node = pipeline
        value = _MISSING
        for command in pipeline.commands:
            value = indirect_interface(self._command(dot, command, value))
        for name in pipeline.variables:
            self._set(name, value, declares=not pipeline.assigns)
        return value

    def _command(self, dot: Value, command: nodes.Command, final: Value) -> Value:
        first, *_ = arguments = command.arguments
        match first:
            case nodes.Field():
                return self._fields(dot, first, first.names, arguments, final, at=first)
            case nodes.Chain():
                return self._chain(dot, first, arguments, final)
            case nodes.Identifier():
                return self._function(dot, first, command, arguments, final)
            case nodes.Pipeline():
                self._check_no_arguments(arguments, final)
                return self._pipeline(dot, first)
            case nodes.Variable():
                return self._variable_command(dot, first, arguments, final)
        self._node = first
        self._check_no_arguments(arguments, final)
        match first:
            case nodes.Dot():
                return dot
            case nodes.Nil():
                raise self._error("nil is not a command")
        return self._constant(first)

    def _constant(self, node: nodes.Node) -> Value:
        assert isinstance(node, _CONSTANTS)
        if isinstance(node.value, int) and node.value >= 1 << 63:
            raise self._error(f"{node} overflows int")
        return value_of(node.value)

    def _check_no_arguments(self, arguments: Sequence[nodes.Node], final: Value) -> None:
        if len(arguments) > 1 or final is not _MISSING:
            raise self._error(f"can't give argument to non-function {arguments[0]}")

    def _variable_command(
        self, dot: Value, node: nodes.Variable, arguments: Sequence[nodes.Node], final: Value
    ) -> Value:
        self._node = node
        value = self._variable(node.name)
        if not node.names:
            self._check_no_arguments(arguments, final)
            return value
        return self._fields(value, node, node.names, arguments, final, at=node, dot=dot)

    def _chain(
        self, dot: Value, node: nodes.Chain, arguments: Sequence[nodes.Node], final: Value
    ) -> Value:
        self._node = node
        if isinstance(node.node, nodes.Nil):
            raise self._error(f"indirection through explicit nil in {node}")
        value = self._argument(dot, None, node.node)
        return self._fields(value, node, node.names, arguments, final, dot=dot)

    def _fields(
        self,
        receiver: Value,
        node: nodes.Node,
        names: Sequence[str],
        arguments: Sequence[nodes.Node],
        final: Value,
        *,
        at: nodes.Node | None = None,
        dot: Value | None = None,
    ) -> Value:
        """Field after field; the last may be a method, which gets the arguments."""
        if at is not None:
            self._node = at
        dot = receiver if dot is None else dot
        for name in names[:-1]:
            receiver = self._field(dot, name, node, (), _MISSING, receiver)
        return self._field(dot, names[-1], node, arguments, final, receiver)

    def _field(
        self,
        dot: Value,
        name: str,
        node: nodes.Node,
        arguments: Sequence[nodes.Node],
        final: Value,
        receiver: Value,
    ) -> Value:
        if not receiver.is_valid:
            if self._strict:
                raise self._error(f"nil data; no entry for key {quote(name)}")
            return INVALID
        kind = receiver.type
        receiver, is_nil = indirect(receiver)
        if is_nil and receiver.kind == "interface":
            raise self._error(f"nil pointer evaluating {kind}.{name}")
        if method := _method(receiver, name):
            return self._call(dot, method, node, name, arguments, final)
        has_arguments = len(arguments) > 1 or final is not _MISSING
        result = self._member(receiver, name)
        if result is None:
            if is_nil:
                self._check_pointer(receiver, name, str(kind))
            raise self._error(f"can't evaluate field {name} in type {kind}")
        if has_arguments:
            reason = "is not a method but has arguments"
            if receiver.kind == "struct":
                reason = "has arguments but cannot be invoked as function"
            raise self._error(f"{name} {reason}")
        return result

    def _member(self, receiver: Value, name: str) -> Value | None:
        """A field or an entry; None where there cannot be one of that name."""
        if receiver.kind == "struct":
            return field(receiver, name)
        if receiver.kind != "map" or receiver.type is None:
            return None
        if name in (receiver.data or {}):
            return Value(receiver.type.elem, receiver.data[name])
        if self._strict:
            raise self._error(f"map has no entry for key {quote(name)}")
        return INVALID

    def _check_pointer(self, receiver: Value, name: str, kind: str) -> None:
        assert receiver.type is not None
        target = receiver.type.elem
        if target.struct is not None and go.field(target.struct(), name) is None:
            return
        raise self._error(f"nil pointer evaluating {kind}.{name}")

    # ------------------------------------------------------------- functions

    def _function(
        self,
        dot: Value,
        node: nodes.Identifier,
        whole: nodes.Node,
        arguments: Sequence[nodes.Node],
        final: Value,
    ) -> Value:
        self._node = node
        function = self._functions[node.name]
        return self._call(dot, function, whole, node.name, arguments, final)

    def _call(
        self,
        dot: Value,
        function: Function,
        node: nodes.Node,
        name: str,
        arguments: Sequence[nodes.Node],
        final: Value,
    ) -> Value:
        arguments = arguments[1:]
        count = len(arguments) + (final is not _MISSING)
        self._check_count(function, name, count, len(arguments))
        if function.decides is not None:
            return self._decide(dot, function.decides, arguments, final)
        values = [
            self._argument(dot, function.parameter(index), argument)
            for index, argument in enumerate(arguments)
        ]
        if final is not _MISSING:
            values.append(self._checked(final, function.parameter(len(arguments))))
        if name == "call":
            values.insert(0, string(str(arguments[0] if arguments else final)))
        try:
            result = function.call(*values)
        except GoError as error:
            self._node = node
            raise self._error(f"error calling {name}: {error}") from None
        return result if isinstance(result, Value) else value_of(result)

    def _check_count(self, function: Function, name: str, count: int, written: int) -> None:
        fixed = len(function.parameters)
        if function.is_variadic:
            if count < fixed - 1:
                raise self._error(
                    f"wrong number of args for {name}: want at least {fixed - 1} got {written}"
                )
        elif count != fixed:
            raise self._error(f"wrong number of args for {name}: want {fixed} got {count}")

    def _decide(
        self, dot: Value, decides: bool, arguments: Sequence[nodes.Node], final: Value
    ) -> Value:
        """`and` and `or` stop at the first value that decides."""
        value = INVALID
        for argument in arguments:
            value = self._argument(dot, "value", argument)
            if is_true(value) is decides:
                return value
        return value if final is _MISSING else final

    # ------------------------------------------------------------- arguments

    def _argument(self, dot: Value, parameter: str | None, node: nodes.Node) -> Value:
        """The value of an argument for a parameter: "value", "any", "string", "int", "[]string"."""
        self._node = node
        match node:
            case nodes.Dot():
                return self._checked(dot, parameter)
            case nodes.Nil():
                return self._nil(parameter)
            case nodes.Field() | nodes.Variable() | nodes.Chain() | nodes.Pipeline():
                return self._checked(self._evaluated(dot, node), parameter)
            case nodes.Identifier():
                value = self._function(dot, node, node, (node,), _MISSING)
                return self._checked(value, parameter)
        value = self._constant(node)
        if parameter in (None, "any", "value"):
            return value
        return self._literal(value, str(parameter), node)

    def _evaluated(self, dot: Value, node: nodes.Node) -> Value:
        match node:
            case nodes.Field():
                return self._fields(dot, node, node.names, (node,), _MISSING, at=node)
            case nodes.Variable():
                return self._variable_command(dot, node, (node,), _MISSING)
            case nodes.Chain():
                return self._chain(dot, node, (), _MISSING)
        assert isinstance(node, nodes.Pipeline)
        return self._pipeline(dot, node)

    def _nil(self, parameter: str | None) -> Value:
        if parameter in ("string", "int"):
            raise self._error(f"cannot assign nil to {parameter}")
        if parameter == "[]string":
            return Value(STRINGS)
        return Value(ANY) if parameter == "any" else INVALID

    def _literal(self, value: Value, parameter: str, node: nodes.Node) -> Value:
        wanted = {"string": STRING, "int": INT}.get(parameter)
        if value.type is wanted:
            return value
        if parameter == "int" and value.type is FLOAT and value.data == int(value.data):
            return Value(INT, int(value.data))
        if wanted is None:
            raise self._error(f"can't handle {node} for arg of type {parameter}")
        raise self._error(
            f"expected {'integer' if parameter == 'int' else parameter}; found {node}"
        )

    def _checked(self, value: Value, parameter: str | None) -> Value:
        """The value, if the parameter takes it; interfaces and pointers are looked through."""
        if parameter in (None, "any", "value"):
            return value
        if not value.is_valid:
            if parameter == "[]string":
                return Value(STRINGS)
            raise self._error(f"invalid value; expected {parameter}")
        if str(value.type) == parameter:
            return value
        inner = value
        if value.kind == "interface" and not value.is_nil:
            inner = value.elem()
        elif value.kind == "pointer":
            inner = value.elem()
            if value.is_nil and str(value.type) == f"*{parameter}":
                raise self._error(f"dereference of nil pointer of type {parameter}")
        if str(inner.type) == parameter:
            return inner
        shown = inner if value.kind == "interface" else value
        raise self._error(f"wrong type for value; expected {parameter}; got {shown.type}")


def _method(receiver: Value, name: str) -> Function | None:
    """What a template may call on a row of a table; Docker's methods take one text, or nothing."""
    if receiver.kind != "context" or name not in receiver.data.fields:
        return None
    method = receiver.data.fields[name]
    if callable(method):
        return Function(method, ("string",))
    return Function(lambda: Value(UNKNOWN) if method is None else method, ())
