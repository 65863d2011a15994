"""Flags of a magic that are the notebook's: `--out`, `--err`, `--bg`, `--no-raise-error`.

Docker's `run` and `exec` end their flags at the first word that is none, so what stands behind the
container's name goes to the program in it. The notebook's own flags are found there too, up to
`--`: no program was meant to have them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from dockmagic import commands
from dockmagic.commands.options.flags import HelpAsked, Parser
from dockmagic_runtime.errors import DockmagicError

WITH_FLAGS: Final = frozenset(("run", "exec", "start", "attach", "explain"))
_SWITCHES: Final = ("--no-raise-error", "--bg")
_VALUES: Final = ("--out", "--err")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(=?)\s*<<\s+(.*)", re.DOTALL)


def target(line: str) -> tuple[str, bool, str]:
    """`x << ps -a` as the variable, whether the value is shown too (`x= <<`), and the line."""
    match = _ASSIGNMENT.match(line.lstrip())
    return (match[1], bool(match[2]), match[3]) if match else ("", True, line)


def flags_first(words: Sequence[str], *, of_magic: bool) -> list[str]:
    """The words of a command with the notebook's flags before the container's name.

    After `%docker run` only `--no-raise-error` is looked for behind the name: a line of a course
    is to work unchanged, and a program may have an `--out`.
    """
    try:
        line = commands.resolve(words)
    except (DockmagicError, HelpAsked):
        return list(words)  # running it says what is wrong with it
    if line.verb not in WITH_FLAGS:
        return list(words)
    rest = line.words
    if of_magic and line.verb == "exec":
        rest = _exec_flags_first(rest, commands.parser("exec"))
    flags, rest = _taken(rest, of_magic=of_magic)
    return [*words[: len(words) - len(line.words)], *flags, *rest]


def _taken(words: Sequence[str], *, of_magic: bool) -> tuple[list[str], list[str]]:
    """The notebook's flags, and the other words."""
    flags: list[str] = []
    rest: list[str] = []
    at = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        name, equals, _ = word.partition("=")
        is_pair = word in _VALUES and words[at + 1 : at + 2] and words[at + 1].isidentifier()
        if name == _SWITCHES[0] or (
            of_magic and (word in _SWITCHES or (equals and name in _VALUES))
        ):
            flags.append(word)
        elif of_magic and is_pair:
            flags += words[at : at + 2]
            at += 1
        else:
            rest.append(word)
        at += 1
    return flags, [*rest, *words[at:]]


def _exec_flags_first(words: list[str], grammar: Parser) -> list[str]:
    """`web -i python` as `-i web python`: no program has a name that begins with a dash."""
    name = _past_flags(words, 0, grammar)
    behind = _past_flags(words, name + 1, grammar)
    return [*words[:name], *words[name + 1 : behind], *words[name : name + 1], *words[behind:]]


def _past_flags(words: Sequence[str], at: int, grammar: Parser) -> int:
    """The index of the first word from `at` on that is neither a flag nor a flag's value."""
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        word = words[at]
        flag = grammar.find(word[2:]) if word.startswith("--") else grammar.find_short(word[-1])
        at += 2 if flag is not None and flag.takes_value and "=" not in word else 1
    return min(at, len(words))
