"""The words of a magic's line: a shell's quoting, and values of the notebook.

What is expanded, in this order:

- `{{…}}` never: it is a template of Docker's (`--format '{{.State}}'`).
- `{expression}` that begins with a name of the notebook, everywhere, also in quotes. Its value is
  one word or part of one, whatever it contains; a list alone in a word is one word an item. A name
  that the notebook has not got is an error. `{a,b}`, `{}`, `{1..3}` and `{"a": 1}` are no such
  expressions and stay as they are; `\\{` is a brace.
- `$name` and `${name}` outside single quotes, if the notebook has that name; otherwise, it is left
  to the container's shell. `$PWD` and `$(pwd)` are the notebook's folder.
- `$(docker …)` outside single quotes: what that command prints, split into words unless it stands
  in double quotes.
- `~/` at the beginning of a word.

Nothing else of a shell is there: pipes, redirections and `&` are errors that say so.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from dockmagic_runtime.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}|\{[^}]*\})")
_EXPRESSIONS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.BinOp, ast.IfExp)
_SHELL = {
    "|": "a pipe", ">": "a redirection", "<": "a redirection", "&": "a background job",
}  # fmt: skip

Substitute = Callable[[str], str]


class Command(Struct, frozen=True):
    """One command: as it was written, and its words with everything expanded."""

    text: str
    words: list[str]


def split_line(
    text: str, namespace: Mapping[str, Any] | None = None, substitute: Substitute | None = None
) -> list[str]:
    """The words of one command. Raises InvalidInput for what only a shell could do."""
    commands = list(split_commands(text, namespace, substitute))
    if len(commands) > 1:
        raise InvalidInput("one command on a line", hint="several go into a %%docker cell")
    return commands[0].words if commands else []


def split_commands(
    text: str, namespace: Mapping[str, Any] | None = None, substitute: Substitute | None = None
) -> Iterator[Command]:
    """Each command on a line: `;` and `&&` stand between two.

    Each is read when it is asked for: what `$(docker ps -q)` gives may depend on the one before.
    """
    return _Scanner(text, namespace or {}, substitute or _no_substitution).commands()


def _no_substitution(command: str) -> str:
    raise InvalidInput(f"$({command}) cannot be expanded here")


class _Scanner(Struct):
    """One pass over a line. `word` is None between two words, and "" for an empty quoted one."""

    text: str
    namespace: Mapping[str, Any]
    substitute: Substitute
    at: int = 0
    in_template: bool = False
    word: str | None = None
    words: list[str] = field(default_factory=list)
    done: list[Command] = field(default_factory=list)
    start: int = 0  # of the command that is being read

    def commands(self) -> Iterator[Command]:
        while self.at < len(self.text):
            self._step()
            while self.done:
                yield self.done.pop(0)
        self._end_command()
        yield from self.done

    def _step(self) -> None:
        character = self.text[self.at]
        if character.isspace():
            self._end_word()
            self.at += 1
        elif character == "#" and self.word is None:
            self.at = len(self.text)
        elif character == "'":
            self._single()
        elif character == '"':
            self._double()
        elif character == "\\":
            self._escaped()
        elif character in ";&|<>":
            self._operator(character)
        else:
            self._plain(character, quoted=False)

    def _add(self, text: str) -> None:
        self.word = (self.word or "") + text

    def _end_word(self) -> None:
        if self.word is not None:
            self.words.append(self.word)
        self.word = None

    def _end_command(self) -> None:
        self._end_word()
        if self.words:
            text = self.text[self.start : self.at].strip()
            self.done.append(Command(text, self.words))
        self.words = []

    def _operator(self, character: str) -> None:
        width = 2 if self.text.startswith("&&", self.at) else 1
        if width == 1 and character != ";":
            raise InvalidInput(
                f"{_SHELL[character]} ('{character}') is the shell's, and there is none here",
                hint="put it in quotes, or use a ! line with the dockmagic command",
            )
        self._end_command()
        self.at += width
        self.start = self.at

    def _escaped(self) -> None:
        self._add(self.text[self.at + 1 : self.at + 2])
        self.at += 2

    def _single(self) -> None:
        self._add("")
        self.at += 1
        while self.at < len(self.text):
            if self.text[self.at] == "'":
                self.at += 1
                return
            if self.text.startswith("\\{", self.at):
                self._escaped()
            elif self.text.startswith("${", self.at):  # the container's shell's, not ours
                self._add("${")
                self.at += 2
            elif not self._brace():
                self._add(self.text[self.at])
                self.at += 1
        raise InvalidInput("a single quote (') is not closed")

    def _double(self) -> None:
        self._add("")
        self.at += 1
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                self.at += 1
                return
            if character == "\\" and self.text[self.at + 1 : self.at + 2] in tuple('"\\$`{'):
                self._escaped()
            else:
                self._plain(character, quoted=True)
        raise InvalidInput('a double quote (") is not closed')

    def _plain(self, character: str, *, quoted: bool) -> None:
        """A character outside single quotes: the beginning of an expansion, or itself."""
        if self._brace() or (character == "$" and self._dollar(quoted=quoted)):
            return
        if character == "~" and self.word is None and not quoted:
            self._home()
            return
        self._add(character)
        self.at += 1

    def _home(self) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        bare = not following or following == "/" or following.isspace()
        self._add(os.path.expanduser("~") if bare else "~")  # noqa: PTH111 - text, not a file
        self.at += 1

    # Expansions: each returns whether there was one, and has moved on if so.

    def _brace(self) -> bool:
        for braces, inside in (("{{", True), ("}}", False)):
            if self.text.startswith(braces, self.at):
                self.in_template = inside
                self._add(braces)
                self.at += 2
                return True
        match_ = None if self.in_template else _expression(self.text, self.at)
        if match_ is None:
            return False
        source, end = match_
        value = self._evaluate(source)
        alone = self.word is None and (end == len(self.text) or self.text[end].isspace())
        if alone and isinstance(value, (list, tuple, set)):
            self.words += map(str, value)
        else:
            self._add(str(value))
        self.at = end
        return True

    def _evaluate(self, source: str) -> Any:
        try:
            return eval(source, {"__builtins__": _builtins(source)}, dict(self.namespace))
        except NameError as error:
            name = getattr(error, "name", "") or source
            raise InvalidInput(
                f"the notebook has no variable '{name}'",
                hint=f"in {{{source}}}; write \\{{ for a brace that is meant literally",
            ) from None
        except Exception as error:
            raise InvalidInput(f"{{{source}}}: {type(error).__name__}: {error}") from error

    def _dollar(self, *, quoted: bool) -> bool:
        if self.in_template:
            return False
        if self.text.startswith("$(", self.at):
            self._substitution(quoted=quoted)
            return True
        match = _VARIABLE.match(self.text, self.at)
        if match is None:
            return False
        name = match[1] or match[2] or ""
        if name in self.namespace:
            self._add(str(self.namespace[name]))
        elif name == "PWD":
            self._add(os.getcwd())
        else:  # the whole of it: `${name}` must not be read as `{name}` next
            self._add(match[0])
        self.at = match.end()
        return True

    def _substitution(self, *, quoted: bool) -> None:
        end = _closing(self.text, self.at + 1)
        command = self.text[self.at + 2 : end].strip()
        self.at = end + 1
        output = os.getcwd() if command == "pwd" else self.substitute(command)
        if quoted:
            self._add(output.rstrip("\n"))
            return
        first, *rest = output.split() or [""]
        if first:
            self._add(first)
        for word in rest:
            self._end_word()
            self._add(word)


def _builtins(source: str) -> dict[str, Any]:
    """A call may use Python's functions; a bare name is one of the notebook's or a mistake."""
    return {} if _NAME.fullmatch(source) else vars(builtins)


def _expression(text: str, start: int) -> tuple[str, int] | None:
    """The expression in the braces that open at `start`, and where they end."""
    if text[start] != "{" or not _NAME.match(text, start + 1):
        return None
    end = text.find("}", start)
    while end >= 0:
        source = text[start + 1 : end]
        try:
            tree = ast.parse(source, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            end = text.find("}", end + 1)  # a brace inside the expression, or no expression
            continue
        return (source, end + 1) if isinstance(tree.body, _EXPRESSIONS) else None
    return None


def _closing(text: str, start: int) -> int:
    """The parenthesis that closes the one at `start`."""
    depth, quote = 0, ""
    for index in range(start, len(text)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                return index
    raise InvalidInput("$( is not closed")


def logical_lines(text: str) -> list[str]:
    """Lines of a cell: a backslash at the end joins the next, blank ones and comments go."""
    joined = re.sub(r"\\[ \t]*\n", " ", text)
    return [line for line in map(str.strip, joined.splitlines()) if line and line[0] != "#"]
