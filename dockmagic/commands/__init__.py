"""Docker's verbs: one module each, with `parser()` and `run(engine, arguments)`.

`parse` reads a line, `execute` runs it. Nothing here prints, exits or knows a notebook.
"""

from __future__ import annotations

from dockmagic.commands.line import PLANNED, resolve
from dockmagic.commands.usage import HelpAsked, WrongUsage
from dockmagic.commands.verbs import GROUPS, VERBS, module_of, names
from dockmagic_runtime.errors import NotFound

TYPE_CHECKING = False  # the first two imports are all that `--help` needs
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from dockmagic.commands.line import Line
    from dockmagic.commands.options.flags import Arguments, Flag, Parser
    from dockmagic.commands.output.result import Event, Outcome
    from dockmagic_runtime import EngineApi


def module(verb: str) -> Any:
    """The module of a verb: `volume create` is `volume_create`, in `volume/create.py`."""
    from importlib import import_module

    return import_module(module_of(verb.replace(" ", "_")))


def parser(
    verb: str, extra: Mapping[str, tuple[Flag, ...]] | None = None, *, form: str = ""
) -> Parser:
    """A verb's grammar, with the flags that the caller has of its own."""
    from msgspec.structs import replace

    grammar: Parser = module(verb).parser()
    more = tuple(replace(flag, own=True) for flag in (extra or {}).get(verb, ()))
    return replace(grammar, flags=(*grammar.flags, *more), form=form)


def parse(words: Sequence[str], extra: Mapping[str, tuple[Flag, ...]] | None = None) -> Arguments:
    """The arguments of a whole line. No effect, and no engine is needed."""
    return parse_line(resolve(words), extra)


def parse_line(line: Line, extra: Mapping[str, tuple[Flag, ...]] | None = None) -> Arguments:
    """The arguments of a line whose verb is known."""
    from msgspec.structs import replace

    from dockmagic.commands.options.reading import read

    arguments = read(parser(line.verb, extra, form=line.form), line.words)
    return replace(arguments, config=line.config) if line.config else arguments


def execute(engine: EngineApi, arguments: Arguments) -> Outcome:
    """Not called `run`: the module of that verb becomes an attribute of this package."""
    if not arguments.config:
        return _run(engine, arguments)
    from dockmagic.commands.global_options import configured
    from dockmagic.commands.output.result import Result

    with configured(arguments.config):
        outcome = _run(engine, arguments)
    return outcome if isinstance(outcome, Result) else _configured(arguments.config, outcome)


def _run(engine: EngineApi, arguments: Arguments) -> Outcome:
    try:
        outcome: Outcome = module(arguments.verb).run(engine, arguments)
    except NotFound as error:
        from dockmagic.commands.other_kind import add_hint

        add_hint(engine, error)
        raise
    for failure in getattr(outcome, "errors", ()):
        from dockmagic.commands.other_kind import add_hint

        add_hint(engine, failure)
    return outcome


def _configured(directory: str, events: Iterator[Event]) -> Iterator[Event]:
    from dockmagic.commands.global_options import configured

    with configured(directory):
        yield from events


def verb_help(grammar: Parser) -> str:
    """The text of `docker VERB --help`."""
    from dockmagic.commands import help

    return help.verb_help(grammar)


def group_help(group: str) -> str:
    """The text of `docker GROUP --help`."""
    from dockmagic.commands import help

    return help.group_help(group)


def help_text() -> str:
    """The text of `docker --help`."""
    from dockmagic.commands import help

    return help.help_text()


__all__ = [
    "GROUPS", "PLANNED", "VERBS", "HelpAsked", "WrongUsage", "execute", "group_help", "help_text",
    "module", "names", "parse", "parse_line", "parser", "resolve", "verb_help",
]  # fmt: skip
