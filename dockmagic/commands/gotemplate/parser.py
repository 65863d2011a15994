"""From the words of a template to its nodes: text/template's grammar."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from dockmagic.commands.gotemplate.functions import FUNCTIONS, unquote
from dockmagic.commands.gotemplate.lexer import Piece, Source, Word, pieces, words
from dockmagic_runtime.model.suggest import did_you_mean


class Operand(Struct, frozen=True):
    """A value to evaluate: a literal, a field of the dot or of a variable, a pipeline, a name.

    `text` and `start` are what an error names: Go blames a chain of fields at its second one.
    """

    kind: str  # "literal" | "dot" | "variable" | "pipeline" | "function"
    value: Any = None
    path: tuple[str, ...] = ()
    text: str = ""
    start: int = 0


class Command(Struct, frozen=True):
    operands: tuple[Operand, ...]

    @property
    def text(self) -> str:
        return " ".join(operand.text for operand in self.operands)


class Pipeline(Struct, frozen=True):
    commands: tuple[Command, ...]
    names: tuple[str, ...] = ()  # $x := …, or $i, $x := … of a range
    assigns: bool = False  # `=`: the variable exists already

    @property
    def text(self) -> str:
        return " | ".join(command.text for command in self.commands)


class Node(Struct, frozen=True):
    kind: str  # "text" | "print" | "if" | "with" | "range" | "break" | "continue" | "template"
    text: str = ""  # of a text; the name of a template
    pipeline: Pipeline | None = None
    body: tuple[Node, ...] = ()
    otherwise: tuple[Node, ...] = ()
    start: int = 0


Nodes = tuple[Node, ...]
_LITERALS: dict[str, Any] = {"true": True, "false": False, "nil": None}
_BLOCKS = ("if", "with", "range")


def parse(source: Source) -> tuple[Nodes, dict[str, Nodes]]:
    """The nodes of a template, and those of the templates that it defines."""
    parser = _Parser(source)
    nodes, end, start = parser.block()
    if end:
        raise source.parse_error(start, f"unexpected {{{{{end}}}}}")
    return nodes, parser.templates


class _Parser:
    """Recursive descent over the pieces of one template."""

    def __init__(self, source: Source) -> None:
        self.templates: dict[str, Nodes] = {}
        self._source = source
        self._pieces = list(pieces(source))
        self._at = 0
        self._depth = 0  # of ranges: only there may `break` and `continue` stand
        self._variables = ["$"]  # declared so far, in the blocks that are open

    def block(self) -> tuple[Nodes, str, int]:
        """Nodes up to `end` or `else`, which is returned with them, and where that stands."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if not piece.is_action:
                nodes.append(Node("text", piece.text))
                continue
            tokens = words(self._source, piece)
            head = tokens[0].text if tokens and tokens[0].kind == "name" else ""
            if head in ("end", "else"):
                return tuple(nodes), " ".join(token.text for token in tokens), piece.start
            node = self._action(head, tokens, piece)
            nodes += [node] if node is not None else []
        return tuple(nodes), "", len(self._source.text)

    def _action(self, head: str, tokens: list[Word], piece: Piece) -> Node | None:
        if not tokens:
            raise self._source.parse_error(piece.start, "missing value for command")
        if head in _BLOCKS:
            return self._control(head, tokens[1:], piece)
        if head in ("break", "continue") and len(tokens) == 1:
            if not self._depth:
                raise self._source.parse_error(piece.start, f"{{{{{head}}}}} outside {{{{range}}}}")
            return Node(head)
        if head == "define":
            self._define(tokens[1:], piece)
            return None
        if head in ("template", "block"):
            return self._template(head, tokens[1:], piece)
        return Node("print", pipeline=self._pipeline(tokens, piece), start=piece.start)

    def _control(self, head: str, tokens: list[Word], piece: Piece) -> Node:
        if not tokens:
            raise self._source.parse_error(piece.start, f"missing value for {head}")
        declared = len(self._variables)
        pipeline = self._pipeline(tokens, piece)
        self._depth += head == "range"
        body, end, start = self.block()
        self._depth -= head == "range"
        otherwise: Nodes = ()
        if end == "else":
            otherwise, end, start = self.block()
        elif end.startswith("else "):
            again = words(self._source, self._pieces[self._at - 1])[1:]
            if again[0].text != head or head == "range":
                raise self._source.parse_error(start, f"unexpected {{{{{end}}}}}")
            inner = self._control(again[0].text, again[1:], self._pieces[self._at - 1])
            del self._variables[declared:]
            return Node(head, "", pipeline, body, (inner,), piece.start)
        self._expect_end(end, start)
        del self._variables[declared:]
        return Node(head, "", pipeline, body, otherwise, piece.start)

    def _expect_end(self, end: str, start: int) -> None:
        if end != "end":
            reason = "unexpected EOF" if not end else f"unexpected {{{{{end}}}}}"
            raise self._source.parse_error(start, reason)

    def _define(self, tokens: list[Word], piece: Piece) -> None:
        name = self._name("define", tokens[:1], piece)
        if len(tokens) > 1:
            reason = f"unexpected <{tokens[1].text}> in define clause"
            raise self._source.parse_error(piece.start, reason)
        self._body(name)

    def _body(self, name: str) -> None:
        variables, self._variables = self._variables, ["$"]
        body, end, start = self.block()
        self._expect_end(end, start)
        self._variables = variables
        self.templates[name] = body

    def _template(self, head: str, tokens: list[Word], piece: Piece) -> Node:
        """`{{template "NAME" pipeline}}`; a block defines its template in the same place."""
        name = self._name(head, tokens[:1], piece)
        pipeline = self._pipeline(tokens[1:], piece) if len(tokens) > 1 else None
        if head == "block":
            if pipeline is None:
                raise self._source.parse_error(piece.start, "missing value for block clause")
            self._body(name)
        return Node("template", name, pipeline, start=tokens[0].start)

    def _name(self, head: str, tokens: list[Word], piece: Piece) -> str:
        if not tokens or tokens[0].kind != "string":
            given = tokens[0].text if tokens else "}}"
            reason = f'unexpected "{given}" in {head} clause'
            raise self._source.parse_error(piece.start, reason)
        return str(unquote(tokens[0].text))

    # Pipelines.

    def _pipeline(self, tokens: list[Word], piece: Piece) -> Pipeline:
        names, assigns, rest = _declaration(tokens)
        if assigns:
            self._require(names[0], piece)
        self._variables += names
        commands: list[list[Operand]] = [[]]
        while rest:
            word = rest.pop(0)
            if word.kind == "pipe":
                commands.append([])
            elif word.kind == "open":
                commands[-1].append(self._parenthesis(rest, word, piece))
            else:
                if word.kind == "variable":
                    self._require(word.text.split(".")[0], piece)
                commands[-1].append(self._operand(word))
        if not all(commands):
            raise self._source.parse_error(piece.start, "missing value for command")
        return Pipeline(tuple(Command(tuple(operands)) for operands in commands), names, assigns)

    def _require(self, name: str, piece: Piece) -> None:
        if name not in self._variables:
            raise self._source.parse_error(piece.start, f'undefined variable "{name}"')

    def _parenthesis(self, rest: list[Word], opening: Word, piece: Piece) -> Operand:
        """Consumes up to the matching parenthesis."""
        inner: list[Word] = []
        depth = 1
        while rest:
            word = rest.pop(0)
            depth += {"open": 1, "close": -1}.get(word.kind, 0)
            if depth == 0:
                pipeline = self._pipeline(inner, piece)
                text = "".join([f"({pipeline.text})", *(f".{name}" for name in word.chain)])
                start = word.start + 1 if word.chain else opening.start
                return Operand("pipeline", pipeline, word.chain, text, start)
            inner.append(word)
        raise self._source.parse_error(piece.start, "unclosed left paren")

    def _operand(self, word: Word) -> Operand:
        match word.kind:
            case "string" | "char" | "number":
                return Operand("literal", unquote(word.text), (), word.text, word.start)
            case "dot":
                return Operand("dot", None, (), ".", word.start)
            case "field":
                path = tuple(word.text.split(".")[1:])
                start = word.start + (len(path[0]) + 1 if len(path) > 1 else 0)
                return Operand("dot", None, path, word.text, start)
            case "variable":
                name, *rest = word.text.split(".")
                start = word.start + (len(name) if rest else 0)
                return Operand("variable", name, tuple(rest), word.text, start)
            case "name" if word.text in _LITERALS:
                return Operand("literal", _LITERALS[word.text], (), word.text, word.start)
            case "name" if word.text in FUNCTIONS:
                return Operand("function", word.text, (), word.text, word.start)
            case "name":
                hint = did_you_mean(word.text, FUNCTIONS)
                reason = f'function "{word.text}" not defined'
                raise self._source.parse_error(word.start, reason, hint)
        raise self._source.parse_error(word.start, f"unexpected {word.text!r}")


def _declaration(tokens: list[Word]) -> tuple[tuple[str, ...], bool, list[Word]]:
    """`$x :=`, `$x =` or `$i, $x :=` in front of a pipeline."""
    kinds = [word.kind for word in tokens]
    for shape in (["variable"], ["variable", "comma", "variable"]):
        size = len(shape)
        if kinds[:size] == shape and kinds[size : size + 1] in (["define"], ["assign"]):
            names = tuple(word.text for word in tokens[:size] if word.kind == "variable")
            return names, kinds[size] == "assign", tokens[size + 1 :]
    return (), False, list(tokens)
