"""`dockmagic network trace`: the path of a connection into a container, step by step. Ours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dockmagic.commands.flags import Arguments, Parser
from dockmagic.commands.result import Result
from dockmagic.commands.table import layout
from dockmagic_runtime.model.topology import Hop, Trace

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine

_WAYS = {
    "translated": "by address translation",
    "proxy": "by the port proxy",
    "direct": "directly",
}


def parser() -> Parser:
    return Parser(
        verb="network trace",
        usage="ADDRESS:PORT[/PROTOCOL] | CONTAINER:PORT",
        summary="Send a probe to a port, and show the path it takes into the container",
        minimum=1,
        maximum=1,
        also="The probe is a real connection: the counters are those of this kernel's rules,\n"
        "before and after it.",
    )


@dataclass(frozen=True, slots=True, repr=False)
class Traced(Result):
    trace: Trace

    @property
    def verdict(self) -> str:
        trace = self.trace
        how = f"{trace.target} leads to {trace.container} {_WAYS[trace.way]}"
        return how if trace.answered else f"{how}, but nobody takes the connection there"

    def text(self) -> str:
        rows = [
            [str(number), hop.what, hop.detail, counter(hop)]
            for number, hop in enumerate(self.trace.hops, 1)
        ]
        lines = [self.verdict]
        for hop, line in zip(self.trace.hops, layout(rows).splitlines(), strict=True):
            lines += [line.rstrip(), *([f"    {hop.rule}"] if hop.rule else [])]
        return "\n".join([*lines, self.trace.remark] if self.trace.remark else lines)

    def stable(self) -> str:
        """Without addresses, names of cables, and what else the cable carries."""
        lines = [
            f"{number} {hop.what}{f' ({hop.counted:+} packet)' if hop.kind == 'rule' else ''}"
            for number, hop in enumerate(self.trace.hops, 1)
        ]
        return "\n".join([self.verdict, *lines])

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(hop) for hop in self.trace.hops]


def counter(hop: Hop) -> str:
    """`3 → 4 packets`; nothing where nothing is counted."""
    if hop.before < 0:
        return ""
    return f"{hop.before} → {hop.after} {'packets' if hop.kind == 'rule' else 'bytes'}"


def run(engine: Engine, arguments: Arguments) -> Traced:
    return Traced(engine.trace(arguments.words[0]))
