"""Candidates for the word of a line at the cursor: verbs, flags and their values, objects, paths.

`docker completion` in a terminal and Tab in a notebook draw on it alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dockmagic.commands import parser, resolve
from dockmagic.commands.complete import files, objects, values
from dockmagic.commands.complete.candidate import Candidate as Candidate
from dockmagic.commands.complete.objects import GetEngine
from dockmagic.commands.complete.words import Words, pending, plain_words
from dockmagic.commands.options.flags import HelpAsked
from dockmagic.commands.verbs import GROUP_SUMMARIES, GROUPS, VERBS, first_names, summary_of
from dockmagic_runtime.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic.commands.options.flags import Flag

Extra = Mapping[str, tuple["Flag", ...]]
_EXPLAINED = ("run", "build")


def complete(
    engine: GetEngine,
    words: Sequence[str],
    after: Sequence[str] = (),
    extra: Extra | None = None,
) -> list[Candidate]:
    """What may stand for the last of `words`; `after` are those behind the cursor.

    The engine is asked only for names of objects and files in them. A line that is wrong before
    that word has no candidates, and an engine that fails has none.
    """
    *before, typed = words or [""]
    try:
        candidates = list(_candidates(engine, before, typed, after, extra))
    except (DockmagicError, HelpAsked, OSError):
        return []
    unique = {candidate.text: candidate for candidate in reversed(candidates)}
    return [unique[text] for text in sorted(unique) if text.startswith(typed)]


def _candidates(
    engine: GetEngine,
    before: list[str],
    typed: str,
    after: Sequence[str],
    extra: Extra | None,
) -> Iterator[Candidate]:
    from dockmagic.commands.global_options import GLOBAL_FLAGS, GLOBAL_PARSER

    rest = _behind_options(before, GLOBAL_FLAGS)
    if not rest:
        words = Words(GLOBAL_PARSER, before, typed)
        yield from _flag_values(engine, words) or _first_words(typed, GLOBAL_FLAGS)
        return
    if rest == ["help"]:
        yield from _first_words(typed, ())
        return
    rest = rest[1:] if rest[0] == "help" else rest
    if len(rest) == 1 and rest[0] in GROUPS:
        for verb, name in first_names(rest[0]).items():
            yield Candidate(name, summary_of(verb), "verb")
        return
    line = resolve(rest)
    if line.verb == "explain":  # as if only what follows it were written
        plain = plain_words(parser("explain"), line.words)
        if plain and plain[0] in _EXPLAINED:
            line = resolve(line.words[line.words.index(plain[0]) :])
        elif not plain:
            yield from (Candidate(verb, summary_of(verb), "verb") for verb in _EXPLAINED)
    yield from _arguments(engine, Words(parser(line.verb, extra, form=line.form), line.words, typed,
                                        list(after)))  # fmt: skip


def _behind_options(words: list[str], flags: Iterable[Flag]) -> list[str]:
    """The words from the command on."""
    takes_value = {f"--{flag.name}" for flag in flags if flag.takes_value}
    takes_value |= {f"-{flag.short}" for flag in flags if flag.takes_value and flag.short}
    index = 0
    while index < len(words) and words[index].startswith("-"):
        index += 2 if words[index] in takes_value else 1
    return words[index:]


def _first_words(typed: str, flags: Iterable[Flag]) -> Iterator[Candidate]:
    if typed.startswith("-"):
        yield from _flags(flags)
        return
    for verb in VERBS:
        if not verb.hidden:
            yield Candidate(verb.name, verb.summary, "verb")
    for group, summary in GROUP_SUMMARIES.items():
        yield Candidate(group, summary, "verb")
    yield Candidate("help", "Help about the command", "verb")


def _arguments(engine: GetEngine, words: Words) -> Iterator[Candidate]:
    """What may stand in a verb's part of the line."""
    if not words.are_flags_over:
        if hit := _flag_values(engine, words):
            yield from hit
            return
        if words.typed.startswith("-"):
            yield from _flags(words.grammar.flags)
            return
    verb = words.grammar.verb.replace(" ", "_")
    if not (verb == "cp" and ":" in words.typed):  # the container is named already
        yield from objects.named_by(engine, verb, first=not words.plain)
    yield from files.named_by(engine, verb, words)


def _flags(flags: Iterable[Flag]) -> Iterator[Candidate]:
    for flag in flags:
        if flag.is_shown:
            yield Candidate(f"--{flag.name}", flag.help.split("\n")[0], "flag")
    yield Candidate("--help", "Print usage", "flag")


def _flag_values(engine: GetEngine, words: Words) -> list[Candidate] | None:
    """The values of the flag at the cursor, `--flag VALUE` or `--flag=VALUE`; None if none is."""
    flag, prefix, typed = pending(words.before, words.grammar), "", words.typed
    if flag is None and typed.startswith("--") and "=" in typed:
        name, _, typed = typed.partition("=")
        flag, prefix = words.grammar.find(name[2:]), f"{name}="
    if flag is None:
        return None
    return [
        Candidate(f"{prefix}{hit.text}", hit.about, hit.kind, is_open=hit.is_open)
        for hit in values.of_flag(engine, flag, typed, words)
    ]
