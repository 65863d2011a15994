"""Go's text/template, as far as Docker's `--format` uses it.

Three stages, each a pure function of the one before: text to tokens, tokens to nodes, nodes and
data to text. Data are Python's: a dict is a struct or a map, a callable in it a method. Missing
fields are errors, as `docker inspect` has them. Named templates (`define`, `block`, `template`)
are left out, because a one-line format has no use for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from dockmagic.commands.gotemplate.functions import FUNCTIONS, GoError, is_true, show, unquote
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.suggest import did_you_mean

_ACTION = re.compile(
    r"""\{\{(-(?=\s))?((?:"(?:\\.|[^"\\])*"|`[^`]*`|/\*.*?\*/|.)*?)((?<=\s)-)?\}\}""", re.DOTALL
)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_END = r"(?=[\s|(),:=.)]|$)"
_WORD = re.compile(
    rf"""\s*(?:
      (?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`){_END}
    | (?P<char>'(?:\\.|[^'\\])+'){_END}
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)){_END}
    | (?P<define>:=) | (?P<assign>=) | (?P<pipe>\|) | (?P<comma>,)
    | (?P<open>\() | (?P<close>\)(?P<chain>(?:\.\w+)*))
    | (?P<variable>\$\w*(?:\.\w+)*){_END}
    | (?P<field>(?:\.[^\W\d]\w*)+){_END}
    | (?P<dot>\.){_END}
    | (?P<name>[^\W\d]\w*){_END}
    )""",
    re.VERBOSE,
)
_SPACES = re.compile(r"\s*")


def _fail(reason: str, hint: str = "") -> InvalidInput:
    return InvalidInput(f"template parsing error: template: :1: {reason}", hint=hint)


# Text to tokens.


class _Word(Struct, frozen=True):
    kind: str
    text: str
    chain: tuple[str, ...] = ()


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """("text", …) and ("action", …) in turn, with the trim markers already obeyed."""
    position, trim_left = 0, False
    for match in _ACTION.finditer(text):
        before = text[position : match.start()]
        before = before.lstrip() if trim_left else before
        yield "text", before.rstrip() if match[1] else before
        if not _COMMENT.fullmatch(match[2]):
            yield "action", match[2]
        position, trim_left = match.end(), bool(match[3])
    rest = text[position:]
    if "{{" in rest:
        raise _fail("unclosed action")
    yield "text", rest.lstrip() if trim_left else rest


def _words(action: str) -> list[_Word]:
    words, position = [], 0
    while position < len(action):
        match = _WORD.match(action, position)
        if match is None:
            if _SPACES.fullmatch(action, position):
                break
            raise _fail(f"unexpected {action[position:].split()[0]!r} in {{{{{action.strip()}}}}}")
        kind = match.lastgroup or ""
        kind = "close" if kind == "chain" else kind
        chain = tuple((match["chain"] or "").split(".")[1:])
        words.append(_Word(kind, match[0].strip(), chain))
        position = match.end()
    return words


# Tokens to nodes.


class _Operand(Struct, frozen=True):
    """A value to be had: a literal, a field of the dot or of a variable, a pipeline, a name."""

    kind: str  # "literal" | "dot" | "variable" | "pipeline" | "function"
    value: Any = None
    path: tuple[str, ...] = ()


class _Pipeline(Struct, frozen=True):
    commands: tuple[tuple[_Operand, ...], ...]
    names: tuple[str, ...] = ()  # $x := …, or $i, $x := … of a range
    assigns: bool = False  # `=`: the variable exists already


class _Node(Struct, frozen=True):
    kind: str  # "text" | "print" | "if" | "with" | "range" | "break" | "continue"
    text: str = ""
    pipeline: _Pipeline | None = None
    body: tuple[_Node, ...] = ()
    otherwise: tuple[_Node, ...] = ()


_LITERALS: dict[str, Any] = {"true": True, "false": False, "nil": None}
_BLOCKS = ("if", "with", "range")


class _Parser:
    """Recursive descent over the pieces of one template."""

    def __init__(self, text: str) -> None:
        self._pieces = list(_pieces(text))
        self._at = 0

    def parse(self) -> tuple[_Node, ...]:
        nodes, end = self._block()
        if end:
            raise _fail(f"unexpected {{{{{end}}}}}")
        return nodes

    def _block(self) -> tuple[tuple[_Node, ...], str]:
        """Nodes up to `end` or `else`, which is returned with them."""
        nodes: list[_Node] = []
        while self._at < len(self._pieces):
            kind, text = self._pieces[self._at]
            self._at += 1
            if kind == "text":
                nodes.append(_Node("text", text))
                continue
            words = _words(text)
            head = words[0].text if words and words[0].kind == "name" else ""
            if head in ("end", "else"):
                return tuple(nodes), " ".join(word.text for word in words)
            nodes.append(self._action(head, words, text))
        return tuple(nodes), ""

    def _action(self, head: str, words: list[_Word], text: str) -> _Node:
        if not words:
            raise _fail("missing value for command")
        if head in _BLOCKS:
            return self._control(head, words[1:])
        if head in ("break", "continue") and len(words) == 1:
            return _Node(head)
        if head in ("define", "block", "template"):
            raise _fail(f"{{{{{head}}}}} is not supported in a format")
        return _Node("print", text.strip(), _pipeline(words))

    def _control(self, head: str, words: list[_Word]) -> _Node:
        if not words:
            raise _fail(f"missing value for {head}")
        pipeline = _pipeline(words)
        body, end = self._block()
        otherwise: tuple[_Node, ...] = ()
        if end == "else":
            otherwise, end = self._block()
        elif end.startswith("else "):
            chained = _words(end.removeprefix("else "))
            return _Node(head, "", pipeline, body, (self._control(chained[0].text, chained[1:]),))
        if end != "end":
            raise _fail("unexpected EOF" if not end else f"unexpected {{{{{end}}}}}")
        return _Node(head, "", pipeline, body, otherwise)


def _pipeline(words: list[_Word]) -> _Pipeline:
    names, assigns, rest = _declaration(words)
    commands: list[list[_Operand]] = [[]]
    while rest:
        word = rest.pop(0)
        if word.kind == "pipe":
            commands.append([])
        elif word.kind == "open":
            commands[-1].append(_parenthesis(rest))
        else:
            commands[-1].append(_operand(word))
    if not all(commands):
        raise _fail("missing value for command")
    return _Pipeline(tuple(map(tuple, commands)), names, assigns)


def _declaration(words: list[_Word]) -> tuple[tuple[str, ...], bool, list[_Word]]:
    """`$x :=`, `$x =` or `$i, $x :=` in front of a pipeline."""
    kinds = [word.kind for word in words]
    for count, shape in ((1, ["variable"]), (2, ["variable", "comma", "variable"])):
        size = len(shape)
        if kinds[:size] == shape and kinds[size : size + 1] in (["define"], ["assign"]):
            names = tuple(word.text for word in words[:size] if word.kind == "variable")
            assert len(names) == count
            return names, kinds[size] == "assign", words[size + 1 :]
    return (), False, list(words)


def _parenthesis(rest: list[_Word]) -> _Operand:
    """Consumes up to the matching parenthesis."""
    inner: list[_Word] = []
    depth = 1
    while rest:
        word = rest.pop(0)
        depth += {"open": 1, "close": -1}.get(word.kind, 0)
        if depth == 0:
            return _Operand("pipeline", _pipeline(inner), word.chain)
        inner.append(word)
    raise _fail("unclosed left paren")


def _operand(word: _Word) -> _Operand:
    match word.kind:
        case "string" | "char" | "number":
            return _Operand("literal", unquote(word.text))
        case "dot":
            return _Operand("dot")
        case "field":
            return _Operand("dot", None, tuple(word.text.split(".")[1:]))
        case "variable":
            name, *path = word.text.split(".")
            return _Operand("variable", name, tuple(path))
        case "name" if word.text in _LITERALS:
            return _Operand("literal", _LITERALS[word.text])
        case "name" if word.text in FUNCTIONS:
            return _Operand("function", word.text)
        case "name":
            hint = did_you_mean(word.text, FUNCTIONS)
            raise _fail(f'function "{word.text}" not defined', hint)
    raise _fail(f"unexpected {word.text!r}")


# Nodes and data to text.


class _Leave(Exception):
    """`break` or `continue` on its way to the range it ends."""


class _Break(_Leave):
    pass


class _Continue(_Leave):
    pass


class _Run(Struct):
    """One rendering: the variables in scope and the text so far."""

    scopes: list[dict[str, Any]]
    out: list[str] = field(default_factory=list)

    def nodes(self, nodes: Sequence[_Node], dot: Any) -> None:
        for node in nodes:
            self.node(node, dot)

    def node(self, node: _Node, dot: Any) -> None:
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
            case _:
                self._scoped(lambda: self._choose(node, dot))

    def _print(self, node: _Node, dot: Any) -> None:
        assert node.pipeline is not None
        value = self.pipeline(node.pipeline, dot)
        if not node.pipeline.names:
            self.out.append(show(value))

    def _scoped(self, action: Callable[[], None]) -> None:
        self.scopes.append({})
        try:
            action()
        finally:
            self.scopes.pop()

    def _choose(self, node: _Node, dot: Any) -> None:
        assert node.pipeline is not None
        value = self.pipeline(node.pipeline, dot)
        if is_true(value):
            self.nodes(node.body, value if node.kind == "with" else dot)
        else:
            self.nodes(node.otherwise, dot)

    def _range(self, node: _Node, dot: Any) -> None:
        assert node.pipeline is not None
        value = self.pipeline(node.pipeline, dot, declare=False)
        pairs = _pairs(value)
        if not pairs:
            return self.nodes(node.otherwise, dot)
        for key, item in pairs:
            self._name(node.pipeline.names, key, item)
            try:
                self.nodes(node.body, item)
            except _Continue:
                continue
            except _Break:
                break
        return None

    def _name(self, names: tuple[str, ...], key: Any, item: Any) -> None:
        if names:
            self.scopes[-1][names[-1]] = item
        if len(names) == 2:
            self.scopes[-1][names[0]] = key

    def pipeline(self, pipeline: _Pipeline, dot: Any, *, declare: bool = True) -> Any:
        value: Any = None
        for index, command in enumerate(pipeline.commands):
            piped = (value,) if index else ()
            value = self._command(command, dot, piped)
        if declare and pipeline.names:
            self._declare(pipeline, value)
        return value

    def _declare(self, pipeline: _Pipeline, value: Any) -> None:
        name = pipeline.names[0]
        scope = self._scope_of(name) if pipeline.assigns else self.scopes[-1]
        scope[name] = value

    def _scope_of(self, name: str) -> dict[str, Any]:
        found = next((scope for scope in reversed(self.scopes) if name in scope), None)
        if found is None:
            raise _fail(f'undefined variable "{name}"')
        scope: dict[str, Any] = found
        return scope

    def _command(self, command: tuple[_Operand, ...], dot: Any, piped: tuple[Any, ...]) -> Any:
        head, *rest = command
        if head.kind == "function" and head.value in ("and", "or"):
            return self._lazily(head.value, rest, dot, piped)
        arguments = (*(self._value(operand, dot) for operand in rest), *piped)
        if head.kind == "function":
            return _call(head.value, FUNCTIONS[head.value], arguments)
        value = self._value(head, dot, arguments)
        if arguments and not head.path:
            raise _fail(f"can't give argument to non-function {show(value)}")
        return value

    def _lazily(
        self, name: str, operands: Sequence[_Operand], dot: Any, piped: tuple[Any, ...]
    ) -> Any:
        """`and` and `or` stop at the first value that decides."""
        value: Any = None
        for operand in operands:
            value = self._value(operand, dot)
            if is_true(value) is (name == "or"):
                return value
        return piped[0] if piped else value

    def _value(self, operand: _Operand, dot: Any, arguments: tuple[Any, ...] = ()) -> Any:
        match operand.kind:
            case "literal":
                return operand.value
            case "variable":
                start = self._scope_of(str(operand.value))[operand.value]
            case "pipeline":
                start = self.pipeline(operand.value, dot)
            case "function":
                return _call(operand.value, FUNCTIONS[operand.value], ())
            case _:
                start = dot
        return _walk(start, operand.path, arguments)


def _walk(value: Any, path: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
    for index, name in enumerate(path):
        value = _field(value, name)
        last = index == len(path) - 1
        if callable(value):
            value = _call(name, value, arguments if last else ())
        elif last and arguments:
            raise _fail(f"{name} has arguments but cannot be invoked as function")
    return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        hint = did_you_mean(name, map(str, value), prefix=".")
        raise _fail(f'executing "" at <.{name}>: map has no entry for key "{name}"', hint)
    if value is None:
        raise _fail(f'executing "" at <.{name}>: nil data; no entry for key "{name}"')
    raise _fail(f'executing "" at <.{name}>: can\'t evaluate field {name} in {show(value)!r}')


def _call(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except (GoError, TypeError, ValueError, OverflowError) as error:
        raise _fail(f'executing "" at <{name}>: error calling {name}: {error}') from None


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return sorted(value.items(), key=lambda pair: str(pair[0]))
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(min(value, 10_000))]
    if value is None:
        return []
    raise _fail(f"range can't iterate over {show(value)}")


class Template:
    """A parsed template. Raises InvalidInput, in Docker's words, here and in `render`."""

    def __init__(self, text: str) -> None:
        self._nodes = _Parser(text).parse()

    def render(self, data: Any) -> str:
        run = _Run([{"$": data}])
        try:
            run.nodes(self._nodes, data)
        except _Leave:
            raise _fail("{{break}} or {{continue}} outside {{range}}") from None
        except RecursionError:
            raise _fail("nested too deeply") from None
        return "".join(run.out)
