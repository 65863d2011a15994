"""Tab in a notebook: after our magics, in `%%docker` and `%%dockerfile` cells, after `!docker`.

What may stand there says `commands.complete`, for terminals as well; here it is found out which
words the cursor is among.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from dockmagic.session import Session

if TYPE_CHECKING:
    from dockmagic.commands.complete.candidate import Candidate

_MAGIC: Final = re.compile(
    r"(?:[^%!]*=\s*|\s*)(?P<sign>%{1,2}|!)(?P<name>\w+)(?:[ \t]+(?P<rest>.*))?", re.DOTALL
)
_OPERATORS: Final = re.compile(r"\$\(|[;|&(`]")
_TARGET: Final = re.compile(r"[A-Za-z_]\w*=?\s*<<\s+")
_PROGRAMS: Final = ("docker", "dockmagic")
_SPECIAL: Final = re.compile(r"([\s\\'\"$`;&|<>(){}*?\[\]#!])")


class Completer:
    """Offers what may stand at the cursor; asks the engine only for what is its own."""

    def __init__(self, session: Session, verbs: Mapping[str, tuple[str, ...]]) -> None:
        self._session = session
        self._verbs = verbs  # of the magics that stand for one
        self._matcher: Any = None

    def install(self, shell: Any) -> None:
        from IPython.core.completer import context_matcher

        def matcher(context: Any) -> Any:  # IPython sets attributes on it, as on no method
            return self._complete(context)

        self._matcher = context_matcher(identifier="dockmagic")(matcher)
        if shell.Completer is not None:
            shell.Completer.custom_matchers.append(self._matcher)

    def remove(self, shell: Any) -> None:
        if shell.Completer is not None and self._matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self._matcher)

    def _complete(self, context: Any) -> Any:
        from IPython.core.completer import SimpleCompletion

        line = str(context.line_with_cursor)
        text, position = str(context.full_text), int(context.cursor_position)
        before = _before_cursor(text, line, position, int(context.cursor_line))
        typed, hits = self.candidates(before, line[position:])
        completions = [SimpleCompletion(text, type=kind) for text, kind in hits]
        return {
            "completions": completions,
            "suppress": bool(completions),
            "matched_fragment": typed,
        }

    def candidates(self, before: str, after: str = "") -> tuple[str, list[tuple[str, str]]]:
        """What stands at the end of `before`, a cell up to the cursor, and what may replace it.

        `after` is the rest of the cursor's line.
        """
        from dockmagic.commands.complete import complete
        from dockmagic.commands.complete.dockerfile import complete_dockerfile
        from dockmagic.magics.runner import EXTRA_FLAGS

        first, newline, body = before.partition("\n")
        if newline and first.startswith("%%dockerfile"):
            typed, hits = complete_dockerfile(lambda: self._session.engine, body)
            return typed, [(hit.text, hit.kind) for hit in hits]
        place = self._words(before)
        if place is None:
            return "", []
        words, typed = place
        hits = complete(lambda: self._session.engine, words, after.split(), EXTRA_FLAGS)
        known = [*hits, *self._drawn(words)]
        return typed, [(_escaped(hit.text, typed), hit.kind) for hit in known]

    def _words(self, before: str) -> tuple[list[str], str] | None:
        """The words of Docker's command up to the cursor, and the last one as it is typed; None
        where no command of ours is."""
        first, newline, _ = before.partition("\n")
        line = before.rpartition("\n")[2]
        if newline and first.startswith("%%docker") and not line.lstrip().startswith("%"):
            return _of_shell(line, has_verbs=True)
        match = _MAGIC.fullmatch(line)
        if match is None or match["rest"] is None:
            return None
        sign, name, rest = match["sign"], match["name"], _TARGET.sub("", match["rest"], count=1)
        if sign == "!":
            return _of_shell(f"{name} {rest}", has_verbs=False)
        if name == "docker":
            if _OPERATORS.search(rest):
                return _of_shell(f"docker {rest}", has_verbs=False)
            return _of_shell(rest, has_verbs=True)
        verb = {"network": ("network",), "dockerfile": ("build",), **self._verbs}.get(name)
        if verb is None:
            return None
        words, typed = _split(rest)
        return [*verb, *words], typed

    def _drawn(self, words: list[str]) -> Iterator[Candidate]:
        """`%network` takes a name as well as a verb."""
        from dockmagic.commands.complete import complete

        if len(words) == 2 and words[0] == "network":
            yield from complete(lambda: self._session.engine, ["network", "draw", words[1]])


def _before_cursor(text: str, line: str, position: int, number: int) -> str:
    """The cell up to the cursor; IPython may give the line alone."""
    lines = text.split("\n")
    if number < len(lines) and lines[number] == line:
        return "\n".join([*lines[:number], line[:position]])
    return line[:position]


def _of_shell(line: str, *, has_verbs: bool) -> tuple[list[str], str] | None:
    """The words behind `docker` in the last command of a line.

    With `has_verbs`, one of Docker's verbs may begin the command.
    """
    words, typed = _split(_last_command(line))
    while words and ("=" in words[0] or words[0] in ("$", "sudo")):
        words.pop(0)
    if words and words[0] in _PROGRAMS:
        return words[1:], typed
    return (words, typed) if has_verbs else None


def _last_command(line: str) -> str:
    """What stands behind the last operator that no quotes protect."""
    start, quote = 0, ""
    for match in re.finditer(r"\\.|['\"]|\$\(|[;|&(`]", line):
        mark = match[0]
        if quote == "'" or (quote and mark not in ('"', "$(", "`")):
            quote = "" if mark == quote else quote
        elif mark in ("'", '"'):
            quote = "" if quote else mark
        elif not mark.startswith("\\"):
            start, quote = match.end(), ""
    return line[start:]


def _split(text: str) -> tuple[list[str], str]:
    """The words up to the cursor, and the last one as it is typed, with its quotes."""
    from dockmagic.commands.system.complete import split_at_cursor

    words, start = split_at_cursor(text)
    return words, text[start:]


def _escaped(candidate: str, typed: str) -> str:
    """A candidate as it is to be typed; quotes that are open already need nothing more."""
    if typed[:1] in ("'", '"'):
        return f"{typed[0]}{candidate}"
    return _SPECIAL.sub(r"\\\1", candidate) if not candidate.endswith(" ") else candidate
