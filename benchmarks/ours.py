"""Ourselves as one of the peers, on a Docker area that lives for the run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import dockmagic
from benchmarks.cold import FIRST_PS, own_command
from benchmarks.peers import SIDE_NAMES, another_file, side_by_side
from benchmarks.rows import (
    BIG,
    BIG_PATH,
    BUILD,
    COMMIT,
    COPY,
    DIFF,
    EXEC,
    FILL,
    FIRST,
    IMPORT,
    LARGE,
    LOAD,
    PARSE,
    PS,
    REBUILD,
    RUN,
    SIDE,
    build_context,
    large_context,
    proportional_size,
)
from dockmagic import commands
from dockmagic_runtime import Engine
from dockmagic_runtime.dockerfile import parse
from dockmagic_runtime.model.build import BuildRequest, StepDone
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec

_RUNS: Final = 1000
_CHANGES: Final = 20_201  # the files, their directories, and the directory of these
# ipykernel is what a notebook has loaded before; none of it is our cost
_SHELL = (
    "import ipykernel.ipkernel; from IPython.core.interactiveshell import InteractiveShell;"
    "shell = InteractiveShell.instance(); start = perf_counter();"
    "shell.extension_manager.load_extension('dockmagic')"
)
_TIMED = {
    IMPORT: "start = perf_counter(); import dockmagic",
    LOAD: _SHELL,
    FIRST: f"{_SHELL}; shell.run_line_magic('ps', '')",
    FIRST_PS: f"{_SHELL}; start = perf_counter(); shell.run_line_magic('ps', '')",
}


class Ours:
    """`Engine`, as a cell uses it: no process is started to give the order."""

    name = "dockmagic"
    version = dockmagic.__version__

    def __init__(self, state: Path) -> None:
        self._engine = Engine(state / "area", catalogue="always")
        for _ in self._engine.images.pull("busybox"):
            pass
        self._state = state
        self._running: list[str] = []
        self._copies = 0
        self._rows: dict[str, Callable[[], int]] = {
            RUN: self._run,
            EXEC: self._exec,
            PS: self._ps,
            DIFF: self._diff,
            COMMIT: self._commit,
            COPY: self._copy,
            SIDE: self._side_by_side,
            PARSE: self._parse,
            BUILD: lambda: self._build(BUILD),
            REBUILD: lambda: self._build(REBUILD),
            LARGE: lambda: self._build(LARGE),
        }
        self._context = build_context(state / "context")
        self._large = large_context(state / "large")
        self._lines = "FROM busybox\n" + "RUN echo $A | tr a b\nCOPY a/b /c/\n" * 250

    def can(self, row: str) -> bool:
        return True

    def prepare(self, running: int, *, files: bool) -> None:
        for number in range(running):
            self._start(f"bench{number}")
            self._running.append(f"bench{number}")
        if files:
            command = ("sh", "-c", FILL)
            self._engine.containers.run(
                ContainerSpec(image="busybox", name=BIG, command=command)
            ).wait()

    def command(self, *words: str) -> tuple[list[str], Mapping[str, str]]:
        return own_command(self._state / "area", *words)

    def _start(self, name: str) -> None:
        command = ("sleep", "3600")
        self._engine.containers.run(
            ContainerSpec(image="busybox", name=name, command=command), detach=True
        )

    def do(self, row: str) -> None:
        if code := self._rows[row]():
            raise RuntimeError(f"{row}: {code}")

    def undo(self, row: str) -> None:
        if row == SIDE:
            for name in SIDE_NAMES:
                self._engine.containers.remove(name, force=True)
        elif row == COMMIT:
            words = ["cp", "--quiet", str(another_file(self._state)), f"{BIG}:/another"]
            commands.execute(self._engine, commands.parse(words))

    def memory(self) -> float:
        """The supervisors, by the parents of the containers' first processes."""
        pids = [self._engine.containers.get(name).pid for name in self._running]
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
        parents = [int(text.rpartition(")")[2].split()[1]) for text in stats]
        return sum(map(proportional_size, parents)) / len(parents)

    def many_runs(self) -> list[float]:
        """The seconds of each of a thousand runs, one after the other."""
        seconds = []
        for _ in range(_RUNS):
            began = time.perf_counter()
            self.do(RUN)
            seconds.append(time.perf_counter() - began)
        return seconds

    # ------------------------------------------------------------- each row; 0 is success

    def _run(self) -> int:
        spec = ContainerSpec(image="busybox", command=("true",), auto_remove=True)
        return self._engine.containers.run(spec).wait()

    def _exec(self) -> int:
        return self._engine.containers.exec("bench0", ExecSpec(command=("true",))).wait()

    def _ps(self) -> int:
        return len(self._engine.containers.list()) - len(self._running)

    def _diff(self) -> int:
        return len(self._engine.containers.diff(BIG)) - _CHANGES

    def _commit(self) -> int:
        return 0 if self._engine.containers.commit(BIG).id else 1

    def _copy(self) -> int:
        self._copies += 1
        target = str(self._state / f"copy{self._copies}")
        commands.execute(
            self._engine, commands.parse(["cp", "--quiet", f"{BIG}:{BIG_PATH}", target])
        )
        return 0

    def _side_by_side(self) -> int:
        side_by_side(self._start)
        return 0

    def _parse(self) -> int:
        return len(parse(self._lines).stages) - 1

    def _build(self, row: str) -> int:
        context = self._large if row == LARGE else self._context
        request = BuildRequest(dockerfile=None, context=str(context), no_cache=row == BUILD)
        steps = [
            event for event in self._engine.images.build(request) if isinstance(event, StepDone)
        ]
        return 0 if len(steps) in (2, 12) else 1

    def close(self) -> None:
        self._engine.system.uninstall()
        self._engine.close()


def seconds_of(row: str, data_root: Path) -> float:
    """How long `row` takes in a fresh Python, on the area of the run."""
    program = f"from time import perf_counter; {_TIMED[row]}; print(perf_counter() - start)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=own_command(data_root)[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])
