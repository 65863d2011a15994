"""A cell as commands: which words each has, what joins it to the one before, and what runs it.

A simple command has words only. Everything else a shell has (pipes, redirections, subshells,
loops, conditions, functions) is kept as text: a real `sh` runs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct, field

from dockmagic.magics.shell.scan import word_end
from dockmagic_runtime.errors import InvalidInput

_COMPOUND: Final = frozenset("if while until for case { ! function [[".split())
_HEREDOC = re.compile(
    r"<<(?P<tabs>-?)[ \t]*(?P<word>(?:'[^']*'|\"[^\"]*\"|\\.|[^\s;&|<>()'\"\\])+)"
)
_PROMPTS: Final = ("$ ", "> ")


class Command(Struct, frozen=True):
    """One command of a cell. `words` are as written; none of them for a command of the shell.

    `joint` is what stands before it: `;`, `&&`, `||`, or nothing on a new line. `here` are the
    lines of its here-documents.
    """

    text: str
    words: tuple[str, ...]
    joint: str = ""
    here: str = ""

    @property
    def is_simple(self) -> bool:
        return bool(self.words)


IsComplete = Callable[[str], bool]


def commands(text: str, is_complete: IsComplete) -> Iterator[Command]:
    """The commands of a text. `is_complete` is asked whether a text is a whole command of `sh`.

    Raises InvalidInput where a quotation is not closed.
    """
    return _Parser(text, is_complete).commands()


class _Parser(Struct):
    text: str
    is_complete: IsComplete
    at: int = 0
    start: int = 0  # of the command that is being read
    words: list[str] = field(default_factory=list)
    is_shells: bool = False
    at_command: bool = True  # the next word names a command
    delimiters: list[tuple[str, bool]] = field(default_factory=list)  # of here-documents

    def commands(self) -> Iterator[Command]:
        joint = ""
        self._begin()
        while self.at < len(self.text):
            following = self._step()
            if following is None:
                continue
            yield from self._end(joint)
            joint = "" if following == "\n" else following
            self._begin(is_line=following == "\n")
        yield from self._end(joint)

    def _begin(self, *, is_line: bool = True) -> None:
        self.words, self.is_shells, self.at_command = [], False, True
        while self.text[self.at : self.at + 1] in (" ", "\t"):
            self.at += 1
        if is_line and self.text.startswith(_PROMPTS[0], self.at):
            self.at += 2
        self.start = self.at

    def _end(self, joint: str) -> Iterator[Command]:
        text = re.sub(r"\\\n(> )?", " ", self.text[self.start : self.at]).strip()
        here = self._here_documents()
        if self.is_shells:
            yield Command(text, (), joint, here)
        elif self.words:
            yield Command(text, tuple(self.words), joint)
        self._skip_joint()

    def _skip_joint(self) -> None:
        for joint in ("&&", "||", ";", "\n"):
            if self.text.startswith(joint, self.at):
                self.at += len(joint)
                break
        if joint in ("&&", "||"):  # the command may stand on the next line
            while self.text[self.at : self.at + 1] in (" ", "\t", "\n"):
                self.at += 1

    def _step(self) -> str | None:
        """Reads a word or an operator; the joint, if the command ends before it."""
        text, at = self.text, self.at
        character = text[at]
        if text.startswith("\\\n", at):
            self.at += 4 if text.startswith(_PROMPTS[1], at + 2) else 2
        elif character in " \t":
            self.at += 1
        elif character == "#":
            end = text.find("\n", at)
            self.at = end if end >= 0 else len(text)
        elif character == "\n":
            return "\n"
        elif joint := next((j for j in ("&&", "||", ";") if text.startswith(j, at)), ""):
            if not self.delimiters:
                return joint
            self.at += len(joint)  # the lines of a here-document follow the whole line
        elif character in "|&<>()":
            self._operator(character)
        else:
            self._word()
        return None

    def _word(self) -> None:
        end = word_end(self.text, self.at)
        word = self.text[self.at : end]
        if self.at_command and word in _COMPOUND:
            return self._compound()
        if self.text[end : end + 1] in ("<", ">") and word.isdigit():
            self.is_shells = True  # the number of a file descriptor
        else:
            self.words.append(word)
            self.at_command = False
        self.at = end
        if self.text.startswith("()", end):
            self._compound()
        return None

    def _operator(self, character: str) -> None:
        self.is_shells = True
        if character in "()":
            return self._compound()
        if character == "&":
            raise _background(is_redirection=self.text.startswith("&>", self.at))
        here = _HEREDOC.match(self.text, self.at)
        if here is not None and not self.text.startswith("<<<", self.at):
            self.delimiters.append((_unquoted(here["word"]), bool(here["tabs"])))
            self.at = here.end()
            return None
        self.at += 1
        if character == "|":
            self.at_command = True
            while self.text[self.at : self.at + 1] in (" ", "\t", "\n"):
                self.at += 1
        else:
            while self.text[self.at : self.at + 1] in ("<", ">", "&", "|", "-"):
                self.at += 1
        return None

    def _compound(self) -> None:
        """Takes as many whole lines as the shell needs for what has begun."""
        self.is_shells = True
        end = self.at
        while True:
            line_end = self.text.find("\n", end)
            end = line_end if line_end >= 0 else len(self.text)
            if end == len(self.text) or self.is_complete(self.text[self.start : end]):
                break
            end += 1
        self.at = end

    def _here_documents(self) -> str:
        """The lines of here-documents, which follow the line; they belong to this command."""
        if not self.delimiters:
            return ""
        start = end = self.text.find("\n", self.at) + 1
        if not start:
            raise InvalidInput(f"the here-document (<<{self.delimiters[0][0]}) has no lines")
        for delimiter, has_tabs in self.delimiters:
            while end < len(self.text):
                line, newline, _ = self.text[end:].partition("\n")
                end += len(line) + len(newline)
                if (line.lstrip("\t") if has_tabs else line) == delimiter:
                    break
        self.delimiters = []
        self.at = end - 1 if self.text[end - 1 : end] == "\n" else end
        return self.text[start:end]


def _unquoted(word: str) -> str:
    return re.sub(r"['\"\\]", "", word)


def _background(*, is_redirection: bool) -> InvalidInput:
    if is_redirection:
        return InvalidInput("'&>' is not a redirection of sh", hint="write '>FILE 2>&1'")
    return InvalidInput(
        "a background job ('&') would outlive its cell",
        hint="'docker run -d' starts a container in the background",
    )
