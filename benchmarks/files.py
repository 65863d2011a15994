"""Many files, little new: COPY of 30,000, one changed among them, a pull of what is here.

COPY is measured beside `cp -a` of the same files on the same file system, in alternation.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Final

from dockmagic_runtime import Engine
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.testing.registry import FakeRegistry

COPY: Final = "COPY of 30,000 files"
CHANGED: Final = "the same, one file changed"
PULL: Final = "pull of an image that is here"
ROWS: Final = (COPY, CHANGED, PULL)
_DIRECTORIES, _EACH = 300, 100
_COPY_GOAL: Final = 2  # times `cp -a`
_GOALS: Final = {CHANGED: 1.0, PULL: 0.020}  # seconds


def measure(state: Path, rounds: int) -> dict[str, list[float]]:
    """The seconds of each round, by row, and those of `cp -a`."""
    context = _context(state / "context")
    measured: dict[str, list[float]] = {name: [] for name in (*ROWS, "cp -a")}
    with Engine(state / "area", catalogue="always") as engine, FakeRegistry() as registry:
        try:
            for _ in engine.images.pull("busybox"):
                pass
            for number in range(rounds):
                measured["cp -a"].append(_copy(context, state / f"copy{number}"))
                measured[COPY].append(_build(engine, context, is_new=True))
                (context / "0" / "0").write_text(f"{time.time_ns()}\n")
                measured[CHANGED].append(_build(engine, context))
            measured[PULL] += _pulls(engine, f"{registry.host}/busybox", rounds)
        finally:
            engine.system.dismantle()
    return measured


def _context(directory: Path) -> Path:
    for number in range(_DIRECTORIES):
        (directory / str(number)).mkdir(parents=True)
        for name in range(_EACH):
            (directory / str(number) / str(name)).write_text(f"{number}/{name}\n")
    (directory / "Dockerfile").write_text("FROM busybox\nCOPY . /all/\n")
    return directory


def _copy(source: Path, target: Path) -> float:
    began = time.perf_counter()
    subprocess.run(["cp", "-a", source, target], check=True)
    took = time.perf_counter() - began
    shutil.rmtree(target)
    return took


def _build(engine: Engine, context: Path, *, is_new: bool = False) -> float:
    began = time.perf_counter()
    for _ in engine.images.build(
        BuildRequest(dockerfile=None, context=str(context), no_cache=is_new)
    ):
        pass
    return time.perf_counter() - began


def _pulls(engine: Engine, name: str, rounds: int) -> list[float]:
    engine.images.tag("busybox", name)
    for _ in engine.images.push(name):
        pass
    measured = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in engine.images.pull(name):
            pass
        measured.append(time.perf_counter() - began)
    return measured


def table(measured: dict[str, list[float]]) -> str:
    """As Markdown. A goal that is missed is in bold."""
    medians = {name: statistics.median(each) for name, each in measured.items()}
    ratio = medians[COPY] / medians["cp -a"]
    shown = f"×{ratio:.1f}"
    lines = ["| files | dockmagic | goal |", "|---|---:|---:|",
             f"| {COPY} | {medians[COPY] * 1000:.0f} ms "
             f"({_marked(shown, is_met=ratio <= _COPY_GOAL)} `cp -a`) | "
             f"≤ ×{_COPY_GOAL} |"]  # fmt: skip
    for row, goal in _GOALS.items():
        text = _marked(f"{medians[row] * 1000:.1f} ms", is_met=medians[row] <= goal)
        lines.append(f"| {row} | {text} | ≤ {goal * 1000:.0f} ms |")
    return "\n".join(lines)


def _marked(text: str, *, is_met: bool) -> str:
    return text if is_met else f"**{text}**"
