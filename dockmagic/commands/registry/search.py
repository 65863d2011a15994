"""`docker search`: repositories by a word. What the catalogue can make is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.options.filters import apply, as_boolean, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, integer, switch, value, values
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.table import ellipsis
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.search import SearchResult

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_WIDTH = 45
_MOST, _USUAL = 100, 25


def parser() -> Parser:
    return Parser(
        verb="search",
        usage="[OPTIONS] TERM",
        summary="Search Docker Hub for images",
        minimum=1,
        maximum=1,
        flags=(
            values(
                "filter",
                "f",
                "Filter output based on conditions provided",
                type="filter",
                convert=parse_filter,
            ),
            value("format", help="Pretty-print search using a Go template"),
            integer("limit", help="Max number of search results", default=0, default_text=""),
            switch("no-trunc", help="Don't truncate output"),
        ),
    )


class Found(Listing, frozen=True, kw_only=True):
    """The rows of `docker search`; `items` are the engine's `SearchResult` values."""

    go_type: ClassVar[str] = "*search.searchContext"
    columns: ClassVar[tuple[Column, ...]] = (
        stable_column("Name", "NAME"),
        stable_column("Description", "DESCRIPTION"),
        Column("StarCount", "STARS"),
        stable_column("IsOfficial", "OFFICIAL"),
    )
    headings: ClassVar[dict[str, str]] = {"IsAutomated": "AUTOMATED", "StandIn": "STAND-IN"}
    id_field: ClassVar[str] = "Name"

    items: tuple[SearchResult, ...]

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": item.name,
                "description": item.description,
                "stars": item.stars,
                "official": item.is_official,
                "stand_in": item.is_stand_in,
            }
            for item in self.items
        ]


def run(engine: EngineApi, arguments: Arguments) -> Found:
    limit = arguments.flag("limit") or _USUAL
    if not 1 <= limit <= _MOST:
        raise InvalidInput(f"limit {limit} is outside the range of [1, {_MOST}]")
    results = apply(
        engine.images.search(arguments.words[0], limit=limit),
        arguments.flag("filter"),
        {
            "is-official": lambda item, text: item.is_official is as_boolean("is-official", text),
            "is-automated": lambda item, text: (
                item.is_automated is as_boolean("is-automated", text)
            ),
            "stars": lambda item, text: item.stars >= _number("stars", text),
        },
    )
    in_full = arguments.flag("no-trunc")
    return Found(
        items=tuple(results),
        fields=tuple(_fields(result, in_full=in_full) for result in results),
        format=arguments.flag("format"),
    )


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidInput(f"invalid filter '{name}={text}'", hint="a number") from None


def _fields(result: SearchResult, *, in_full: bool) -> Fields:
    about = " ".join(result.description.split())
    if result.is_stand_in:
        about = f"[stand-in] {about}"
    return {
        "Name": result.name,
        "Description": about if in_full else ellipsis(about, _WIDTH),
        "StarCount": str(result.stars),
        "IsOfficial": "[OK]" if result.is_official else "",
        "IsAutomated": "[OK]" if result.is_automated else "",
        "StandIn": "[OK]" if result.is_stand_in else "",
    }
