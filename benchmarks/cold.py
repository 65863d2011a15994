"""A command in a terminal, as a whole process: beside Docker, podman and `python -c pass`.

The three are clients of daemons, or do all themselves; the base is what any program in Python
costs. Goals are multiples of that, in the same run, since they hold on every machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

BASE: Final = "python -c pass"
# what is typed at a prompt, and the most that it may take, in times of the base
GOALS: Final[dict[str, float]] = {
    "$ version": 2.5,
    "$ --help": 2.5,
    "$ nosuch": 2.5,
    "$ ps": 4,
    "$ images": 4,
    "$ inspect bench0": 4,
    "$ logs bench0": 4,
    "$ exec bench0 true": 5,
    "$ run --rm busybox true": 7,
}
RUN: Final = "$ run --rm busybox true"
FIRST_PS: Final = "first %ps after %load_ext"
FIRST_PS_GOAL: Final = 0.080  # seconds


class Measured(NamedTuple):
    """Medians of one command: seconds by peer, and ours in times of the base measured beside it."""

    seconds: dict[str, float]
    ratio: float
    base: float


class Terminal(Protocol):
    """A peer that is used by commands."""

    name: str

    def command(self, *words: str) -> tuple[list[str], Mapping[str, str]]:
        """The program with its arguments, and its environment."""


def own_command(data_root: Path, *words: str) -> tuple[list[str], Mapping[str, str]]:
    """Ours as it is installed: its modules are compiled, as pip compiles them."""
    program = Path(sys.executable).parent / "dockmagic"
    start = [str(program)] if program.exists() else [sys.executable, "-m", "dockmagic"]
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(data_root)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return [*start, *words], environment


def measure(
    peers: Sequence[Terminal], rounds: int, wanted: Callable[[str], bool]
) -> dict[str, Measured]:
    """By command. A round does each once with each peer, the first one being ours."""
    lines = [line for line in GOALS if wanted(line)]
    bases: dict[str, list[float]] = {line: [] for line in lines}
    samples: dict[str, dict[str, list[float]]] = {
        line: {peer.name: [] for peer in peers} for line in lines
    }
    for number in range(rounds + 1):
        for line, by_peer in samples.items():
            took = seconds([sys.executable, "-c", "pass"], os.environ)
            bases[line] += [took] * bool(number)
            for peer in peers:
                took = seconds(*peer.command(*line.split()[1:]))
                by_peer[peer.name] += [took] * bool(number)  # the first round warms up
    return {
        line: Measured(
            {name: statistics.median(each) for name, each in by_peer.items()},
            statistics.median(
                own / base for own, base in zip(by_peer[peers[0].name], bases[line], strict=True)
            ),
            statistics.median(bases[line]),
        )
        for line, by_peer in samples.items()
    }


def seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """How long it takes from its start to its end; what it prints and its exit code are ignored."""
    began = time.perf_counter()
    subprocess.run(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return time.perf_counter() - began


def table(measured: Mapping[str, Measured], peers: Sequence[str], first_ps: float = 0.0) -> str:
    """As Markdown; nothing for nothing. A goal that is missed is in bold."""
    if not (measured or first_ps):
        return ""
    lines = [f"| whole process | × `{BASE}` | goal | {' | '.join(peers)} |",
             f"|---|---:|---:|{'---:|' * len(peers)}"]  # fmt: skip
    if measured:
        base = statistics.median(each.base for each in measured.values())
        lines.append(f"| `{BASE}` | 1.0 | | {base * 1000:.1f} ms |{' |' * (len(peers) - 1)}")
    for line, (by_peer, ratio, _) in measured.items():
        goal = GOALS[line]
        is_met = ratio <= goal and not (
            line == RUN and by_peer[peers[0]] > by_peer.get("Docker", float("inf"))
        )
        shown = f"{ratio:.1f}" if is_met else f"**{ratio:.1f}**"
        cells = [f"{by_peer[name] * 1000:.1f} ms" if name in by_peer else "–" for name in peers]
        lines.append(f"| `{line}` | {shown} | ≤ {goal:g} | {' | '.join(cells)} |")
    if first_ps:
        shown = f"{first_ps * 1000:.1f} ms"
        shown = shown if first_ps <= FIRST_PS_GOAL else f"**{shown}**"
        most = f"≤ {FIRST_PS_GOAL * 1000:.0f} ms"
        lines.append(f"| {FIRST_PS} | | {most} | {shown} |{' – |' * (len(peers) - 1)}")
    return "\n".join(lines)
