"""What a notebook waits for: Tab, the first magic, `%ps`; with 200 containers.

`python benchmarks/notebook.py` makes a data root with 200 containers and measures in a real
IPython shell. Figures are milliseconds: the first call, and the median of those after it.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "runtime")]

CONTAINERS: Final = 200
ROUNDS: Final = 15
LINES: Final = (
    "%docker r",
    "%docker run --",
    "%docker rm c1",
    "%docker inspect ",
    "%docker run -v ./",
    "%run_container busy",
    "%exec live l",
    "%exec live cat /etc/",
    "%docker cp live:/",
    "%docker run busybox l",
    "%%dockerfile -t x\nFROM busybox\nCOPY --from=",
    "%%dockerfile -t x\nFROM busybox\nRUN ",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        os.environ["DOCKMAGIC_ROOT"] = root
        fill(root)
        try:
            measure(root)
        finally:
            empty(root)


def fill(root: str) -> None:
    from dockmagic_runtime import Engine
    from dockmagic_runtime.model.container import ContainerSpec

    with Engine(root) as engine:
        for _ in engine.images.pull("busybox"):
            pass
        for number in range(CONTAINERS - 1):
            engine.containers.create(ContainerSpec(image="busybox", name=f"c{number}"))
        engine.containers.run(
            ContainerSpec(image="busybox", name="live", command=("sleep", "1000")), detach=True
        )


def empty(root: str) -> None:
    from dockmagic_runtime import Engine

    with Engine(root) as engine:
        for container in engine.containers.list(all=True):
            engine.containers.remove(container.id, force=True)
        engine.system.dismantle()


def measure(root: str) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell: Any = InteractiveShell.instance(config=config)
    report("%load_ext", [timed(lambda: shell.run_line_magic("load_ext", "dockmagic"))])
    report("%ps (the first magic)", [timed(lambda: run(shell, "%ps"))])
    engine = shell._dockmagic_extension.session.engine
    report("containers.list()", [timed(engine.containers.list) for _ in range(ROUNDS)])
    report("%ps", [timed(lambda: run(shell, "%ps")) for _ in range(ROUNDS)])
    report("%docker ps", [timed(lambda: run(shell, "%docker ps")) for _ in range(ROUNDS)])
    report("list(all=True)", [timed(lambda: engine.containers.list(all=True)) for _ in range(5)])
    report("%ps -a", [timed(lambda: run(shell, "%ps -a")) for _ in range(5)])
    for line in LINES:
        complete(shell, line)


def run(shell: Any, line: str) -> None:
    with redirect_stdout(io.StringIO()):
        shell.run_cell(line, store_history=False)


def complete(shell: Any, line: str) -> None:
    from IPython.core.completer import provisionalcompleter

    count = 0

    def once() -> None:
        nonlocal count
        with provisionalcompleter():
            count = len(list(shell.Completer.completions(line, len(line))))

    times = [timed(once) for _ in range(ROUNDS)]
    report(f"Tab after {line!r} ({count})", times)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def report(name: str, times: list[float]) -> None:
    later = f"{statistics.median(times[1:]):7.1f}" if len(times) > 1 else " " * 7
    print(f"{times[0]:7.1f} {later}  {name}")


if __name__ == "__main__":
    main()
