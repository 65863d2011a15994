"""Docker's verbs: one module each, with `parser()` and `run(engine, arguments)`.

`parse` reads a line, `execute` runs it. Nothing here prints, exits or knows a notebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from dockmagic.commands.line import PLANNED, resolve
from dockmagic.commands.options.flags import Arguments, Flag, HelpAsked, Parser, WrongUsage
from dockmagic.commands.options.reading import read
from dockmagic.commands.output.result import Event, Outcome, Result
from dockmagic.commands.verbs import GROUPS, VERBS, module_of, names

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def module(verb: str) -> Any:
    """The module of a verb: `volume create` is `volume_create`, in `volume/create.py`."""
    return import_module(module_of(verb.replace(" ", "_")))


def parser(
    verb: str, extra: Mapping[str, tuple[Flag, ...]] | None = None, *, form: str = ""
) -> Parser:
    """A verb's grammar, with the flags that the caller has of its own."""
    grammar = cast("Parser", module(verb).parser())
    more = tuple(replace(flag, own=True) for flag in (extra or {}).get(verb, ()))
    return replace(grammar, flags=(*grammar.flags, *more), form=form)


def parse(words: Sequence[str], extra: Mapping[str, tuple[Flag, ...]] | None = None) -> Arguments:
    """The arguments of a whole line. No effect, and no engine is needed."""
    line = resolve(words)
    arguments = read(parser(line.verb, extra, form=line.form), line.words)
    return replace(arguments, config=line.config) if line.config else arguments


def execute(engine: EngineApi, arguments: Arguments) -> Outcome:
    """Not called `run`: the module of that verb becomes an attribute of this package."""
    run = module(arguments.verb).run
    if not arguments.config:
        return cast("Outcome", run(engine, arguments))
    from dockmagic.commands.global_options import configured

    with configured(arguments.config):
        outcome = cast("Outcome", run(engine, arguments))
    return outcome if isinstance(outcome, Result) else _configured(arguments.config, outcome)


def _configured(directory: str, events: Iterator[Event]) -> Iterator[Event]:
    from dockmagic.commands.global_options import configured

    with configured(directory):
        yield from events


def verb_help(grammar: Parser) -> str:
    """The text of `docker VERB --help`."""
    from dockmagic.commands import help

    return help.verb_help(grammar)


def help_text() -> str:
    """The text of `docker --help`."""
    from dockmagic.commands import help

    return help.help_text()


__all__ = [
    "GROUPS", "PLANNED", "VERBS", "HelpAsked", "Result", "WrongUsage", "execute", "help_text",
    "module", "names", "parse", "parser", "resolve", "verb_help",
]  # fmt: skip
