"""Where things end in a line of shell: quotations, `$( )`, `${ }`, and expressions of Python.

Each function gets a text and the index of the first character, and returns the index behind the
last one. Raises InvalidInput for what is not closed.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput

NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
SPECIAL: Final = "?$!#@*-0123456789"  # `$?`, `$1`: one character, no name

_NAME = re.compile(NAME)
_EXPRESSION_START = re.compile(r"\{[A-Za-z_]\w*")
_EXPRESSIONS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.BinOp, ast.IfExp)


class Expression(Struct, frozen=True):
    """`{source}` in a line, which ends before `end`."""

    source: str
    end: int


def expression(text: str, at: int) -> Expression | None:
    """The Python expression in the braces that open at `at`; None if there is none.

    `{a,b}`, `{}`, `{1..3}` and `{"a": 1}` are no expressions, nor is anything in `{{ }}`.
    """
    if not _EXPRESSION_START.match(text, at):
        return None
    end = text.find("}", at)
    while end >= 0:
        source = text[at + 1 : end]
        try:
            tree = ast.parse(source, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            end = text.find("}", end + 1)  # a brace inside the expression, or no expression
            continue
        return Expression(source, end + 1) if isinstance(tree.body, _EXPRESSIONS) else None
    return None


def single_end(text: str, at: int) -> int:
    end = text.find("'", at + 1)
    if end < 0:
        raise InvalidInput("a single quote (') is not closed")
    return end + 1


def double_end(text: str, at: int) -> int:
    at += 1
    while at < len(text):
        character = text[at]
        if character == '"':
            return at + 1
        at = _step(text, at, quoted=True)
    raise InvalidInput('a double quote (") is not closed')


def backtick_end(text: str, at: int) -> int:
    at += 1
    while at < len(text):
        if text[at] == "`":
            return at + 1
        at += 2 if text[at] == "\\" else 1
    raise InvalidInput("a backtick (`) is not closed")


def dollar_end(text: str, at: int, *, quoted: bool = False) -> int:
    """The end of `$name`, `${…}`, `$(…)` or `$((…))`; of a lone `$` the next character."""
    following = text[at + 1 : at + 2]
    if following == "(":
        return _parenthesis_end(text, at + 1)
    if following == "{":
        return _brace_end(text, at + 1, quoted=quoted)
    if match := _NAME.match(text, at + 1):
        return match.end()
    return at + 2 if following and following in SPECIAL else at + 1


def _parenthesis_end(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        character = text[at]
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return at + 1
        at = at + 1 if character in "()" else _step(text, at, quoted=False)
    raise InvalidInput("$( is not closed")


def _brace_end(text: str, at: int, *, quoted: bool) -> int:
    at += 1
    while at < len(text):
        if text[at] == "}":
            return at + 1
        at = at + 1 if text[at] == "{" else _step(text, at, quoted=quoted)
    raise InvalidInput("${ is not closed")


def _step(text: str, at: int, *, quoted: bool) -> int:
    """Past one character, or all of what it begins."""
    character = text[at]
    if character == "\\":
        return at + (3 if text.startswith("\\${", at) else 2)  # `\${X}` is no expression
    if character == "'" and not quoted:
        return single_end(text, at)
    if character == '"' and not quoted:
        return double_end(text, at)
    if character == "`":
        return backtick_end(text, at)
    if character == "$":
        return dollar_end(text, at, quoted=quoted)
    if character == "{" and text[at : at + 2] != "{{" and (hit := expression(text, at)):
        return hit.end
    if character == "{" and text[at : at + 2] == "{{":
        return at + 2
    return at + 1


def word_end(text: str, at: int) -> int:
    """The end of the word that begins at `at`: at a blank, a line's end or an operator."""
    while at < len(text) and text[at] not in " \t\n;&|<>()":
        at = min(_step(text, at, quoted=False), len(text))
    return at
