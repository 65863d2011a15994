"""Tokens to nodes: Go's text/template/parse/parse.go, with its error messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from dockmagic.commands.gotemplate import nodes
from dockmagic.commands.gotemplate.errors import TemplateError
from dockmagic.commands.gotemplate.lexer import Token, tokens
from dockmagic.commands.gotemplate.literals import number, unquote
from dockmagic_runtime.model.go_values import quote

_OPERANDS: Final = frozenset(
    ["bool", "character", "dot", "field", "identifier", "number", "nil", "raw string", "string",
     "variable", "open"]
)  # fmt: skip
_CONSTANTS: Final = (nodes.Bool, nodes.Dot, nodes.Nil, nodes.Number, nodes.String)

Nodes = tuple[nodes.Node, ...]


def parse(text: str, name: str, functions: Collection[str]) -> dict[str, Nodes]:
    """The templates by name: the text itself, and those that it defines. Raises TemplateError."""
    parser = _Parser(text, name, functions)
    parser.templates[name] = parser.parse()
    return parser.templates


class _Parser:
    def __init__(self, text: str, name: str, functions: Collection[str]) -> None:
        self._name = name
        self._functions = functions
        self._tokens = list(tokens(text))
        self._at = 0
        self._variables = ["$"]
        self._range_depth = 0
        self._action_line = 0
        self.templates: dict[str, Nodes] = {}

    # ---------------------------------------------------------------- tokens

    def _peek(self) -> Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _next_non_space(self) -> Token:
        while (token := self._next()).kind == "space":
            pass
        return token

    def _peek_non_space(self) -> Token:
        while self._peek().kind == "space":
            self._at += 1
        return self._peek()

    def _expect(self, kind: str, context: str) -> Token:
        token = self._next_non_space()
        if token.kind != kind:
            raise self._unexpected(token, context)
        return token

    def _error(self, message: str, line: int = 0) -> TemplateError:
        """At a line of the text, that of the last token if none is given."""
        if not line:
            line = self._tokens[max(0, min(self._at, len(self._tokens)) - 1)].line
        return TemplateError(f"template: {self._name}:{line}: {message}")

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind != "error":
            return self._error(f"unexpected {token} in {context}", token.line)
        extra = ""
        if self._action_line not in (0, token.line):
            extra = f" in action started at {self._name}:{self._action_line}"
            if token.text.endswith(" action"):
                extra = extra.removeprefix(" in action")
        return self._error(f"{token}{extra}", token.line)

    # ---------------------------------------------------------------- blocks

    def parse(self) -> Nodes:
        """The top level: text, actions and definitions."""
        body: list[nodes.Node] = []
        while self._peek().kind != "EOF":
            start = self._at
            if self._peek().kind == "left":
                self._at += 1
                if self._next_non_space().kind == "define":
                    self._definition()
                    continue
                self._at = start
            node = self._text_or_action()
            if isinstance(node, nodes.End):
                raise self._error(f"unexpected {node}")
            body.append(node)
        return tuple(body)

    def _definition(self) -> None:
        context = "define clause"
        token = self._next_non_space()
        if token.kind not in ("string", "raw string"):
            raise self._unexpected(token, context)
        name = self._unquoted(token)
        self._expect("right", context)
        self._add(name, context)

    def _add(self, name: str, context: str) -> None:
        """Parse a body up to its end, with variables of its own, under a name of its own."""
        outer, self._variables = self._variables, ["$"]
        depth, self._range_depth = self._range_depth, 0
        body, end = self._list()
        if end.kind != "end":
            raise self._error(f"unexpected {end} in {context}")
        self._variables, self._range_depth = outer, depth
        if self.templates.get(name) and not _is_empty(self.templates[name]):
            if not _is_empty(body):
                raise self._error(f"template: multiple definition of template {quote(name)}")
            return
        self.templates[name] = body

    def _list(self) -> tuple[Nodes, nodes.End]:
        body: list[nodes.Node] = []
        while self._peek_non_space().kind != "EOF":
            node = self._text_or_action()
            if isinstance(node, nodes.End):
                return tuple(body), node
            body.append(node)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> nodes.Node:
        token = self._next_non_space()
        if token.kind == "text":
            return nodes.Text(position=token.position, text=token.text)
        if token.kind != "left":
            raise self._unexpected(token, "input")
        self._action_line = token.line
        node = self._action()
        self._action_line = 0
        return node

    def _action(self) -> nodes.Node:
        token = self._next_non_space()
        position = token.position
        match token.kind:
            case "if" | "with" | "range":
                return self._control(token.kind, position)
            case "break" | "continue":
                return self._leave(token)
            case "block":
                return self._block_clause()
            case "template":
                return self._template_clause()
            case "end":
                self._expect("right", "end")
                return nodes.End(position=position, kind="end")
            case "else":
                return self._else(position)
        self._at -= 1
        pipeline = self._pipeline("command", "right")
        return nodes.Action(position=position, pipeline=pipeline)

    def _else(self, position: int) -> nodes.End:
        """`{{else if …}}` is read as `{{else}}{{if …}}`, with one end for both."""
        if self._peek_non_space().kind not in ("if", "with"):
            self._expect("right", "else")
        return nodes.End(position=position, kind="else")

    def _leave(self, token: Token) -> nodes.Leave:
        context = f"{{{{{token.kind}}}}}"
        following = self._next_non_space()
        if following.kind != "right":
            raise self._unexpected(following, context)
        if not self._range_depth:
            raise self._error(f"{context} outside {{{{range}}}}")
        return nodes.Leave(position=token.position, kind=token.kind)

    def _control(self, kind: str, position: int) -> nodes.Block:
        with self._scope():
            pipeline = self._pipeline(kind, "right")
            self._range_depth += kind == "range"
            body, end = self._list()
            self._range_depth -= kind == "range"
            otherwise: Nodes = ()
            if end.kind == "else":
                otherwise = self._otherwise(kind)
            return nodes.Block(
                position=position, kind=kind, pipeline=pipeline, body=body, otherwise=otherwise
            )

    def _otherwise(self, kind: str) -> Nodes:
        token = self._peek()
        if kind in ("if", "with") and token.kind == kind:
            self._at += 1
            return (self._control(kind, token.position),)
        body, end = self._list()
        if end.kind != "end":
            raise self._error(f"expected end; found {end}")
        return body

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """Variables that are declared in it end with it."""
        count = len(self._variables)
        yield
        del self._variables[count:]

    def _block_clause(self) -> nodes.Call:
        context = "block clause"
        token = self._next_non_space()
        name = self._template_name(token, context)
        pipeline = self._pipeline(context, "right")
        self._add(name, context)
        return nodes.Call(position=token.position, source=quote(name), name=name, pipeline=pipeline)

    def _template_clause(self) -> nodes.Call:
        context = "template clause"
        token = self._next_non_space()
        name = self._template_name(token, context)
        pipeline = None
        if self._next_non_space().kind != "right":
            self._at -= 1
            pipeline = self._pipeline(context, "right")
        return nodes.Call(position=token.position, source=quote(name), name=name, pipeline=pipeline)

    def _template_name(self, token: Token, context: str) -> str:
        if token.kind not in ("string", "raw string"):
            raise self._unexpected(token, context)
        return self._unquoted(token)

    def _unquoted(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except ValueError as error:
            raise self._error(str(error)) from None

    # ------------------------------------------------------------- pipelines

    def _pipeline(self, context: str, end: str) -> nodes.Pipeline:
        position = self._peek_non_space().position
        variables, assigns = self._declarations(context)
        commands: list[nodes.Command] = []
        while True:
            token = self._next_non_space()
            if token.kind == end:
                self._check_pipeline(commands, context)
                return nodes.Pipeline(
                    position=position,
                    commands=tuple(commands),
                    variables=tuple(variables),
                    assigns=assigns,
                )
            if token.kind not in _OPERANDS:
                raise self._unexpected(token, context)
            self._at -= 1
            commands.append(self._command())

    def _declarations(self, context: str) -> tuple[list[str], bool]:
        """`$x :=`, `$x =` or `$i, $x :=` in front of a pipeline."""
        variables: list[str] = []
        while self._peek_non_space().kind == "variable":
            start = self._at
            variable = self._next()
            following = self._peek_non_space()
            is_comma = following.kind == "char" and following.text == ","
            if following.kind not in ("assign", "declare") and not is_comma:
                self._at = start
                break
            self._at += 1
            variables.append(variable.text)
            self._variables.append(variable.text)
            if not is_comma:
                return variables, following.kind == "assign"
            if context != "range" or len(variables) > 1:
                raise self._error(f"too many declarations in {context}")
            if self._peek_non_space().kind not in ("variable", "right", "close"):
                raise self._error("range can only initialize variables")
        return variables, False

    def _check_pipeline(self, commands: list[nodes.Command], context: str) -> None:
        if not commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.arguments[0], _CONSTANTS):
                raise self._error(f"non executable command in pipeline stage {stage}")

    def _command(self) -> nodes.Command:
        position = self._peek_non_space().position
        arguments: list[nodes.Node] = []
        while True:
            self._peek_non_space()
            operand = self._operand()
            if operand is not None:
                arguments.append(operand)
            token = self._next()
            if token.kind == "space":
                continue
            if token.kind in ("right", "close"):
                self._at -= 1
            elif token.kind != "pipe":
                raise self._unexpected(token, "operand")
            break
        if not arguments:
            raise self._error("empty command")
        return nodes.Command(position=position, arguments=tuple(arguments))

    def _operand(self) -> nodes.Node | None:
        node = self._term()
        if node is None or self._peek().kind != "field":
            return node
        position = self._peek().position
        names: list[str] = []
        while self._peek().kind == "field":
            names.append(self._next().text[1:])
        if isinstance(node, nodes.Field):
            return nodes.Field(position=position, names=(*node.names, *names))
        if isinstance(node, nodes.Variable):
            whole = (*node.names, *names)
            return nodes.Variable(position=position, name=node.name, names=whole)
        if isinstance(node, _CONSTANTS):
            raise self._error(f"unexpected . after term {quote(str(node))}")
        return nodes.Chain(position=position, node=node, names=tuple(names))

    def _term(self) -> nodes.Node | None:
        token = self._next_non_space()
        text, position = token.text, token.position
        match token.kind:
            case "identifier":
                if text not in self._functions:
                    raise self._error(f"function {quote(text)} not defined")
                return nodes.Identifier(position=position, name=text)
            case "dot":
                return nodes.Dot(position=position)
            case "nil":
                return nodes.Nil(position=position)
            case "variable":
                if text not in self._variables:
                    raise self._error(f"undefined variable {quote(text)}")
                return nodes.Variable(position=position, name=text)
            case "field":
                return nodes.Field(position=position, names=(text[1:],))
            case "bool":
                return nodes.Bool(position=position, value=text == "true")
            case "character" | "number":
                return self._number(token)
            case "open":
                return self._pipeline("parenthesized pipeline", "close")
            case "string" | "raw string":
                value = self._unquoted(token)
                return nodes.String(position=position, source=text, value=value)
        self._at -= 1
        return None

    def _number(self, token: Token) -> nodes.Number:
        try:
            value = number(token.text)
        except ValueError as error:
            raise self._error(str(error)) from None
        return nodes.Number(position=token.position, source=token.text, value=value)


def _is_empty(body: Nodes) -> bool:
    return all(isinstance(node, nodes.Text) and not node.text.strip() for node in body)
