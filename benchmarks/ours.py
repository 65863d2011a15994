"""Ourselves as one of the peers, on a Docker area that lives for the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dockmagic
from benchmarks.peers import BUILD, EXEC, REBUILD, RUN, build_context
from dockmagic_runtime import Engine
from dockmagic_runtime.dockerfile import parse
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec
from dockmagic_runtime.model.events import BuildRequest, StepDone

IMPORT, LOAD, FIRST = "import dockmagic", "%load_ext dockmagic", "%load_ext and the first %ps"
# ipykernel is what a notebook has loaded before; none of it is our cost
PARSE = "parse a Dockerfile of 500 lines"
LARGE = "decide a cached COPY of 20,000 files"
_SHELL = (
    "import ipykernel.ipkernel; from IPython.core.interactiveshell import InteractiveShell;"
    "shell = InteractiveShell.instance(); start = perf_counter();"
    "shell.extension_manager.load_extension('dockmagic')"
)
_TIMED = {
    IMPORT: "start = perf_counter(); import dockmagic",
    LOAD: _SHELL,
    FIRST: f"{_SHELL}; shell.run_line_magic('ps', '')",
}


class Ours:
    """`Engine`, as a cell uses it: no process is started to give the order."""

    name = "dockmagic"
    version = dockmagic.__version__

    def __init__(self, state: Path) -> None:
        self._engine = Engine(state / "area", catalogue="always")
        for _ in self._engine.pull("busybox"):
            pass
        self._running: list[str] = []
        self._context = build_context(state / "context")
        self._large = _large_context(state / "large")
        self._lines = "FROM busybox\n" + "RUN echo $A | tr a b\nCOPY a/b /c/\n" * 250

    def can(self, row: str) -> bool:
        return True

    def prepare(self, running: int) -> None:
        for number in range(running):
            spec = ContainerSpec(image="busybox", name=f"bench{number}", command=("sleep", "3600"))
            self._running.append(self._engine.run_detached(spec).id)

    def do(self, row: str) -> None:
        if row == RUN:
            spec = ContainerSpec(image="busybox", command=("true",), auto_remove=True)
            code = self._engine.run(spec).wait()
        elif row == EXEC:
            code = self._engine.exec("bench0", ExecSpec(command=("true",))).wait()
        elif row == PARSE:
            code = len(parse(self._lines).stages) - 1
        elif row in (BUILD, REBUILD, LARGE):
            code = self._build(row)
        else:
            code = len(self._engine.containers()) - len(self._running)
        if code:
            raise RuntimeError(f"{row}: {code}")

    def _build(self, row: str) -> int:
        context = self._large if row == LARGE else self._context
        request = BuildRequest(dockerfile=None, context=str(context), no_cache=row == BUILD)
        steps = [event for event in self._engine.build(request) if isinstance(event, StepDone)]
        return 0 if len(steps) in (2, 12) else 1

    def close(self) -> None:
        self._engine.uninstall()
        self._engine.close()
        shutil.rmtree(self._engine.area.run)


def _large_context(directory: Path) -> Path:
    for number in range(200):
        (directory / str(number)).mkdir(parents=True)
        for name in range(100):
            (directory / str(number) / str(name)).write_text(f"{number}/{name}\n")
    (directory / "Dockerfile").write_text("FROM busybox\nCOPY . /all/\n")
    return directory


def seconds_of(row: str, area: Path) -> float:
    """How long `row` takes in a fresh Python, on the area of the run."""
    program = f"from time import perf_counter; {_TIMED[row]}; print(perf_counter() - start)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DOCKMAGIC_ROOT": str(area)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])
