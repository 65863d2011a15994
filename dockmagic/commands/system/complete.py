"""`docker __complete SHELL …`: what the scripts of `docker completion` call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Text

if TYPE_CHECKING:
    from dockmagic.commands.complete import Candidate
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="__complete",
        usage="SHELL [WORD...]",
        summary="Request shell completion choices for the specified command-line",
        minimum=1,
        stops_at_word=True,
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    from dockmagic.commands.complete import complete

    shell, *words = arguments.words
    breaks = after = ""
    if shell == "bash":
        breaks, line, *rest = words
        words, after = split(line)[1:], " ".join(rest)
    candidates = complete(lambda: engine, words, after.split())
    start = _broken(words[-1] if words else "", breaks)
    return Text("\n".join(_line(shell, candidate, start) for candidate in candidates))


def _line(shell: str, candidate: Candidate, start: int) -> str:
    if shell == "bash":
        return candidate.text[start:]
    if shell == "zsh":
        text = candidate.text.replace(":", "\\:")
        return f"{text}:{candidate.about}" if candidate.about else text
    return f"{candidate.text}\t{candidate.about}"


def split(line: str) -> list[str]:
    """The words of a line of a shell up to the cursor; quotes need not be closed yet."""
    return split_at_cursor(line)[0]


def split_at_cursor(line: str) -> tuple[list[str], int]:
    """The words, and where the last one begins; that is empty behind a blank."""
    words: list[str] = []
    word, quote, is_escaped, start = "", "", False, 0
    for index, character in enumerate(line):
        if is_escaped:
            word, is_escaped = word + character, False
        elif character == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "'\"":
            quote = character
        elif character.isspace():
            words, word, start = ([*words, word] if word else words), "", index + 1
        else:
            word += character
    return [*words, word], start


def _broken(word: str, breaks: Sequence[str]) -> int:
    """Where the part of a word begins that bash replaces: behind the last break."""
    return (
        max((word.rfind(character) for character in ":=@" if character in breaks), default=-1) + 1
    )
