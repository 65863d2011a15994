"""Candidates for the last word of a line that is being typed: verbs, flags, names of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from dockmagic.commands import parser, resolve
from dockmagic.commands.options.flags import Flag, HelpAsked, Parser
from dockmagic.commands.references import familiar
from dockmagic.commands.verbs import GROUP_SUMMARIES, GROUPS, VERBS, first_names, summary_of
from dockmagic_runtime.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


class Candidate(Struct, frozen=True):
    """A word that may stand there, and a few words about it."""

    text: str
    about: str = ""


Kinds = tuple[str, ...]  # of objects: "container", "running", "image", "network", "volume"
# What the words of a verb name, the first of them and the others.
_WORDS: Mapping[str, tuple[Kinds, Kinds]] = {
    **dict.fromkeys(("attach", "exec", "top", "port"), (("running",), ())),
    **dict.fromkeys(
        ("kill", "pause", "restart", "stats", "stop", "unpause", "update"),
        (("running",), ("running",)),
    ),
    **dict.fromkeys(("diff", "export", "logs", "commit", "rename"), (("container",), ())),
    **dict.fromkeys(
        ("container_inspect", "rm", "start", "wait"), (("container",), ("container",))
    ),
    "cp": (("container",), ("container",)),
    "explain": (("container", "image"), ()),
    "inspect": (
        ("container", "image", "network", "volume"), ("container", "image", "network", "volume")
    ),
    **dict.fromkeys(("create", "history", "push", "pull", "run", "tag"), (("image",), ())),
    **dict.fromkeys(("image_inspect", "layers", "rmi", "save"), (("image",), ("image",))),
    **dict.fromkeys(("network_connect", "network_disconnect"), (("network",), ("container",))),
    **dict.fromkeys(("network_inspect", "network_rm"), (("network",), ("network",))),
    "network_draw": (("network",), ()),
    **dict.fromkeys(("volume_inspect", "volume_rm", "volume_update"), (("volume",), ("volume",))),
}  # fmt: skip
# What the values of flags name.
_FLAG_KINDS: Mapping[str, Kinds] = {
    "network": ("network",), "volumes-from": ("container",), "link": ("container",),
    "ipc": ("namespace",), "pid": ("namespace",),
}  # fmt: skip
_FLAG_WORDS: Mapping[str, tuple[str, ...]] = {
    "attach": ("stdin", "stdout", "stderr"),
    "cgroupns": ("host", "private"),
    "context": ("default",),
    "format": ("json", "table"),
    "log-driver": ("json-file", "local", "none"),
    "log-level": ("debug", "info", "warn", "error", "fatal"),
    "network": ("bridge", "host", "none"),
    "progress": ("auto", "plain", "tty", "rawjson"),
    "pull": ("always", "missing", "never"),
    "restart": ("always", "no", "on-failure", "unless-stopped"),
    "type": ("container", "image", "network", "volume"),
}


def complete(engine: Callable[[], EngineApi], words: Sequence[str]) -> list[Candidate]:
    """What may stand for the last of `words`; the engine is asked only for names of objects.

    A line that is wrong before that word has no candidates, and an engine that fails has none.
    """
    *before, typed = words or [""]
    try:
        candidates = list(_candidates(engine, before, typed))
    except (DockmagicError, HelpAsked, OSError):
        return []
    unique = {candidate.text: candidate for candidate in candidates}
    return [unique[text] for text in sorted(unique) if text.startswith(typed)]


def _candidates(
    engine: Callable[[], EngineApi], before: list[str], typed: str
) -> Iterator[Candidate]:
    from dockmagic.commands.global_options import GLOBAL_FLAGS, GLOBAL_PARSER

    rest = _behind_options(before, GLOBAL_FLAGS)
    if not rest:
        pending = _pending(before, GLOBAL_PARSER)
        yield from _values(engine, pending) if pending else _first_words(typed, GLOBAL_FLAGS)
        return
    if rest == ["help"]:
        yield from _first_words(typed, ())
        return
    rest = rest[1:] if rest[0] == "help" else rest
    if len(rest) == 1 and rest[0] in GROUPS:
        for verb, name in first_names(rest[0]).items():
            yield Candidate(name, summary_of(verb))
        return
    line = resolve(rest)
    yield from _arguments(engine, parser(line.verb, form=line.form), line.words, typed)


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
            yield Candidate(verb.name, verb.summary)
    for group, summary in GROUP_SUMMARIES.items():
        yield Candidate(group, summary)
    yield Candidate("help", "Help about the command")


def _arguments(
    engine: Callable[[], EngineApi], grammar: Parser, before: list[str], typed: str
) -> Iterator[Candidate]:
    words = _plain_words(grammar, before)
    behind_words = grammar.stops_at_word and words
    if not behind_words and (pending := _pending(before, grammar)):
        yield from _values(engine, pending)
    elif not behind_words and typed.startswith("-"):
        yield from _flags(grammar.flags)
    else:
        first, others = _WORDS.get(grammar.verb.replace(" ", "_"), ((), ()))
        yield from _objects(engine, others if words else first)


def _flags(flags: Iterable[Flag]) -> Iterator[Candidate]:
    for flag in flags:
        if flag.is_shown:
            yield Candidate(f"--{flag.name}", flag.help.split("\n")[0])
    yield Candidate("--help", "Print usage")


def _pending(before: Sequence[str], grammar: Parser) -> Flag | None:
    """The flag that the last word gives a value to, if it is one that waits for it."""
    last = before[-1] if before else ""
    if last.startswith("--"):
        flag = grammar.find(last[2:])
    elif last.startswith("-") and len(last) > 1:
        flag = grammar.find_short(last[-1])
    else:
        return None
    return flag if flag and flag.takes_value else None


def _plain_words(grammar: Parser, before: Sequence[str]) -> list[str]:
    """The words that are neither flags nor their values."""
    words: list[str] = []
    rest = list(before)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            words.append(word)
        elif rest and "=" not in word and _pending([word], grammar):
            rest.pop(0)
    return words


def _values(engine: Callable[[], EngineApi], flag: Flag) -> Iterator[Candidate]:
    yield from map(Candidate, _FLAG_WORDS.get(flag.name, ()))
    yield from _objects(engine, _FLAG_KINDS.get(flag.name, ()))


def _objects(engine: Callable[[], EngineApi], kinds: Kinds) -> Iterator[Candidate]:
    for kind in kinds:
        if kind == "image":
            for image in engine().images.list():
                yield from (Candidate(familiar(tag), "image") for tag in image.tags)
        elif kind == "network":
            yield from (Candidate(network.name, "network") for network in engine().networks.list())
        elif kind == "volume":
            yield from (Candidate(volume.name, "volume") for volume in engine().volumes.list())
        else:
            yield from _containers(engine(), kind)


def _containers(engine: EngineApi, kind: str) -> Iterator[Candidate]:
    prefix = "container:" if kind == "namespace" else ""
    for container in engine.containers.list(all=kind == "container"):
        yield Candidate(f"{prefix}{container.name}", familiar(container.image))
