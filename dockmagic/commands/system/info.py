"""`docker info`: the engine, the machine, and what it allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.output.result import Result, Text

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="info",
        usage="[OPTIONS]",
        summary="Display system-wide information",
        maximum=0,
        flags=(INSPECT_FORMAT,),
    )


class Info(Result, frozen=True):
    facts: dict[str, Any]

    def text(self) -> str:
        return "\n".join(_lines(self.facts, 0))

    def stable(self) -> str:
        """Which facts there are: each may differ on the next machine."""
        return "\n".join(self.facts)

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": name, "value": fact} for name, fact in self.facts.items()]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


def run(engine: EngineApi, arguments: Arguments) -> Result:
    facts = engine.system.info()
    format = arguments.flag("format")
    if not format:
        return Info(facts)
    from dockmagic.commands.gotemplate.template import Template

    return Text(Template("{{json .}}" if format == "json" else format).render(facts))


def _lines(facts: dict[str, Any], depth: int) -> Iterator[str]:
    blank = " " * depth
    for name, fact in facts.items():
        if isinstance(fact, dict):
            yield f"{blank}{name}:"
            yield from _lines(fact, depth + 1)
        elif isinstance(fact, (list, tuple)) and any(isinstance(item, dict) for item in fact):
            yield f"{blank}{name}:"
            for item in fact:
                yield from _lines(item, depth + 1)
        elif isinstance(fact, (list, tuple)):
            yield f"{blank}{name}: {' '.join(map(str, fact))}"
        else:
            yield f"{blank}{name}: {str(fact).lower() if isinstance(fact, bool) else fact}"
