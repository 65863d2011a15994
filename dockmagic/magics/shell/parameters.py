"""`$name` and `${name…}`: the parameter expansions of `sh`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable

from msgspec import Struct

from dockmagic.magics.shell.scan import NAME
from dockmagic.magics.shell.scope import Scope
from dockmagic_runtime.errors import InvalidInput


class Part(Struct, frozen=True):
    """A piece of a word: `is_split` came from an expansion, `is_pattern` may match file names."""

    text: str
    is_pattern: bool = False
    is_split: bool = False


Expand = Callable[[str, bool], list[Part]]  # of the word behind an operator; is it quoted?

_BRACES = re.compile(
    rf"\{{(?:#(?P<length>{NAME}|[0-9?$!#@*-])|"
    rf"(?P<name>{NAME}|[0-9]+|[?$!#@*-])(?:(?P<operator>:?[-=?+]|%%?|\#\#?)(?P<word>.*))?)\}}",
    re.DOTALL,
)


def expand(inside: str, scope: Scope, *, quoted: bool, word: Expand) -> list[Part]:
    """The parts that stand for `$` and `inside`. Raises InvalidInput for a bad substitution."""
    if not inside.startswith("{"):
        return _value(inside, scope, quoted=quoted)
    match = _BRACES.fullmatch(inside)
    if match is None:
        name = inside[1:-1]
        raise InvalidInput(
            f"${inside}: bad substitution", hint=f"{{{name}}} is a value of the notebook"
        )
    if length := match["length"]:
        return [Part(str(len(_lookup(length, scope) or "")))]
    name, operator = match["name"], match["operator"]
    if operator is None:
        return _value(name, scope, quoted=quoted)
    if operator[0] in "%#":
        pattern = "".join(_as_pattern(part) for part in word(match["word"], False))
        trimmed = _trimmed(_lookup(name, scope) or "", operator, pattern)
        return [Part(trimmed, is_split=not quoted)]
    return _with_default(name, operator, lambda: word(match["word"], quoted), scope, quoted=quoted)


def _with_default(
    name: str, operator: str, default: Callable[[], list[Part]], scope: Scope, *, quoted: bool
) -> list[Part]:
    value = _lookup(name, scope)
    is_absent = value is None or (operator[0] == ":" and not value)
    if operator[-1] == "+":
        return [] if is_absent else default()
    if not is_absent:
        return _value(name, scope, quoted=quoted)
    parts = default()
    text = "".join(part.text for part in parts)
    if operator[-1] == "?":
        raise InvalidInput(f"{name}: {text or 'parameter not set or null'}")
    if operator[-1] == "=":
        scope.variables[name] = text
    return parts


def _lookup(name: str, scope: Scope) -> str | None:
    return scope.lookup(name) if re.fullmatch(NAME, name) else scope.special(name)


def _value(name: str, scope: Scope, *, quoted: bool) -> list[Part]:
    """A value of the notebook is one word or part of one, whatever it contains."""
    value = _lookup(name, scope)
    if value is None:
        scope.unset.add(name)
    is_notebooks = name in scope.namespace and name not in scope.variables
    if is_notebooks or quoted:
        return [Part(value or "")]
    return [Part(value, is_split=True)] if value else []


def _as_pattern(part: Part) -> str:
    return (
        part.text if part.is_pattern or part.is_split else re.sub(r"([*?\[])", r"[\1]", part.text)
    )


def _trimmed(value: str, operator: str, pattern: str) -> str:
    """Without the shortest or, with a doubled operator, the longest match at an end."""
    lengths = range(len(value) + 1)
    for length in reversed(lengths) if len(operator) == 2 else lengths:
        if operator[0] == "#" and fnmatch.fnmatchcase(value[:length], pattern):
            return value[length:]
        if operator[0] == "%" and fnmatch.fnmatchcase(value[len(value) - length :], pattern):
            return value[: len(value) - length]
    return value
