"""What the words of a command stand for: the expansions of `sh`, and values of the notebook.

In the order of POSIX: tilde, parameters, commands and Python's expressions, then fields, then
file names. What stands in quotes, and every value of the notebook, is neither split nor matched.
"""

from __future__ import annotations

import glob
import os
import re
from functools import partial

from msgspec import Struct, field

from dockmagic.magics.shell import parameters
from dockmagic.magics.shell.parameters import Part
from dockmagic.magics.shell.scan import (
    backtick_end,
    dollar_end,
    expression,
    single_end,
)
from dockmagic.magics.shell.scope import Scope, as_text

_LISTS = (list, tuple, set, frozenset)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_PATTERN = re.compile(r"[*?\[]")


def fields(source: str, scope: Scope) -> list[str]:
    """The words that a word as written stands for: none, one, or several."""
    whole = expression(source, 0)
    if whole is not None and whole.end == len(source):
        value = scope.evaluate(whole.source)
        items = value if isinstance(value, _LISTS) else [value]
        return [as_text(item, whole.source) for item in items]
    return [name for parts in _split(_expand(source, scope)) for name in _file_names(parts)]


def text(source: str, scope: Scope, *, quoted: bool = False) -> str:
    """The one text that a word stands for where a shell does not split: in an assignment."""
    return "".join(part.text for part in _expand(source, scope, quoted=quoted))


def assignment(source: str, scope: Scope) -> tuple[str, str] | None:
    """Name and value, if the word is an assignment."""
    match = _ASSIGNMENT.match(source)
    return (match[1], text(source[match.end() :], scope)) if match else None


def is_assignment(source: str) -> bool:
    return _ASSIGNMENT.match(source) is not None


def _split(parts: list[Part]) -> list[list[Part]]:
    """The fields of a word: blanks in the result of an expansion stand between two."""
    done: list[list[Part]] = []
    current: list[Part] = []
    for part in parts:
        if not part.is_split:
            current.append(part)
            continue
        pieces = re.split(r"[ \t\n]+", part.text)
        for index, piece in enumerate(pieces):
            if index and current:
                done.append(current)
                current = []
            if piece:
                current.append(Part(piece, is_pattern=True))
    return [*done, current] if current else done


def _file_names(parts: list[Part]) -> list[str]:
    """The files that a field matches; the field itself if it matches none."""
    plain = "".join(part.text for part in parts)
    if not any(part.is_pattern and _PATTERN.search(part.text) for part in parts):
        return [plain]
    escaped = (part.text if part.is_pattern else glob.escape(part.text) for part in parts)
    return sorted(glob.glob("".join(escaped))) or [plain]  # noqa: PTH207 - names as written


def _expand(source: str, scope: Scope, *, quoted: bool = False) -> list[Part]:
    expander = _Expander(source, scope)
    expander.run(quoted=quoted)
    return expander.parts


class _Expander(Struct):
    """One pass over a word."""

    source: str
    scope: Scope
    at: int = 0
    in_template: bool = False
    parts: list[Part] = field(default_factory=list)

    def run(self, *, quoted: bool) -> None:
        if not quoted:
            self._tilde()
        while self.at < len(self.source):
            self._step(self.source[self.at], quoted=quoted)

    def _step(self, character: str, *, quoted: bool) -> None:
        if character == "'" and not quoted:
            end = single_end(self.source, self.at)
            self._quoted(self.source[self.at + 1 : end - 1])
            self.at = end
        elif character == '"':
            self._double() if not quoted else self._skip()
        elif character == "\\":
            self._escape(quoted=quoted)
        elif character == "`":
            self._backtick(quoted=quoted)
        elif character == "$" and self._dollar(quoted=quoted):
            pass
        elif not self._brace():
            self.parts.append(Part(character, is_pattern=not quoted))
            self.at += 1

    def _skip(self) -> None:
        self.at += 1

    def _quoted(self, text: str) -> None:
        self.parts.append(Part(text))

    def _double(self) -> None:
        self._quoted("")
        self.at += 1
        while self.source[self.at] != '"':
            self._step(self.source[self.at], quoted=True)
        self.at += 1

    def _escape(self, *, quoted: bool) -> None:
        following = self.source[self.at + 1 : self.at + 2]
        is_brace = following == "{" and expression(self.source, self.at + 1) is not None
        if following == "\n":
            pass  # the line goes on
        elif quoted and following not in tuple('"\\$`') and not is_brace:
            self._quoted(f"\\{following}")
        else:
            self._quoted(following or "\\")
        self.at += 2
        if following == "$" and self.source.startswith("{", self.at):
            self._quoted("{")  # `\${X}` is for another shell, and no expression
            self.at += 1

    def _tilde(self) -> None:
        match = re.match(r"~[A-Za-z0-9_.-]*(?=/|$)", self.source)
        if match:
            self._quoted(os.path.expanduser(match[0]))  # noqa: PTH111 - text, not a file
            self.at = match.end()

    def _brace(self) -> bool:
        """Braces of a template, or an expression."""
        braces = self.source[self.at : self.at + 2]
        if braces in ("{{", "}}"):
            self.in_template = braces == "{{"
            self._quoted(braces)
            self.at += 2
            return True
        hit = None if self.in_template else expression(self.source, self.at)
        if hit is None:
            return False
        self._quoted(as_text(self.scope.evaluate(hit.source), hit.source))
        self.at = hit.end
        return True

    def _dollar(self, *, quoted: bool) -> bool:
        end = dollar_end(self.source, self.at, quoted=quoted)
        inside = self.source[self.at + 1 : end]
        if not inside or (self.in_template and not self.scope.is_text(inside.strip("{}"))):
            return False
        self.at = end
        if inside.startswith("(("):
            self._add(self.scope.substitute(f'printf %s "${inside}"'), quoted=quoted)
        elif inside.startswith("("):
            self._add(_output(inside[1:-1], self.scope), quoted=quoted)
        else:
            default = partial(_default, self.scope)
            self.parts += parameters.expand(inside, self.scope, quoted=quoted, word=default)
        return True

    def _backtick(self, *, quoted: bool) -> None:
        end = backtick_end(self.source, self.at)
        escaped = r'\\([\\`$"])' if quoted else r"\\([\\`$])"
        command = re.sub(escaped, r"\1", self.source[self.at + 1 : end - 1])
        self.at = end
        self._add(_output(command, self.scope), quoted=quoted)

    def _add(self, text: str, *, quoted: bool) -> None:
        self.parts.append(Part(text, is_split=not quoted))


def _output(command: str, scope: Scope) -> str:
    stripped = command.strip()
    output = os.getcwd() if stripped == "pwd" else scope.substitute(stripped)
    return output.rstrip("\n")


def _default(scope: Scope, source: str, quoted: bool) -> list[Part]:
    """The word in `${X:-word}`: without quotes around it, what is plain in it is split."""
    parts = _expand(source, scope, quoted=quoted)
    if quoted:
        return parts
    return [Part(part.text, is_split=True) if part.is_pattern else part for part in parts]
