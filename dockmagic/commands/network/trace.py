"""`dockmagic network trace`: the path of a connection into a container, step by step. Ours."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Result
from dockmagic.commands.output.text_tree import printable
from dockmagic_runtime.model.topology import Hop, Route, Trace

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

WAYS = {
    "translated": "by address translation",
    "proxy": "by the port proxy",
    "direct": "directly",
}
_WIDTH = 76


def parser() -> Parser:
    return Parser(
        verb="network trace",
        usage="ADDRESS:PORT[/PROTOCOL] | CONTAINER:PORT",
        summary="Send a probe to a port, and show the path it takes into the container",
        minimum=1,
        maximum=1,
        also="The probe is a real connection: the counters are those of this kernel's rules,\n"
        "before and after it. Where localhost is served by the port proxy, a second probe\n"
        "goes to an address of this host that a rule translates.",
    )


class Traced(Result, frozen=True):
    trace: Trace

    def verdict(self, route: Route) -> str:
        how = f"{route.name} leads to {self.trace.container} {WAYS[route.way]}"
        return f"{how}, but {route.failure}" if route.failure else how

    def text(self) -> str:
        return self._format(_whole, textwrap.fill(self.trace.remark, _WIDTH))

    def stable(self) -> str:
        """Without addresses, names of veths, and how far the counters are."""
        return self._format(_what, self.trace.remark)

    def _format(self, describe: Callable[[Hop], str], remark: str) -> str:
        ways = [
            "\n".join([self.verdict(route), *map(_numbered, count(1), map(describe, route.hops))])
            for route in self.trace.routes
        ]
        return "\n\n".join([*ways, *([remark] if remark else [])])

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"way": route.way, "address": route.address, **asdict(hop)}
            for route in self.trace.routes
            for hop in route.hops
        ]


def counter(hop: Hop) -> str:
    """`3 → 4 packets`; nothing where nothing is counted."""
    if hop.before < 0:
        return ""
    return f"{hop.before} → {hop.after} {'packets' if hop.kind == 'rule' else 'bytes'}"


def _numbered(number: int, text: str) -> str:
    return f"{number} {text}"


def _what(hop: Hop) -> str:
    what = printable(hop.what)  # a program calls itself what it likes
    return f"{what} (its counter went up)" if hop.kind == "rule" else what


def _whole(hop: Hop) -> str:
    below = [hop.detail, *hop.rule.splitlines(), counter(hop)]
    return "\n".join([printable(hop.what), *(f"    {line}" for line in below if line)])


def run(engine: EngineApi, arguments: Arguments) -> Traced:
    return Traced(engine.networks.trace(arguments.words[0]))
