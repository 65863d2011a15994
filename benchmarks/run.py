"""`make bench`: us, and Docker, podman and runc where they are installed, in alternation.

Every round does each row once with every peer, so a busy moment of the machine hits all of them;
medians are compared. Prints the tables and writes them, with the machine's description, to
benchmarks/README.md. `--only cold` measures a group alone, `--only "exec true"` a row; the groups
are cold (whole processes), engine, notebook and files.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import cold, files
from benchmarks.ours import Ours, seconds_of
from benchmarks.peers import Peer, Runc, installed
from benchmarks.rows import (
    BUILD,
    COMMIT,
    COPY,
    DIFF,
    EXEC,
    FIRST,
    FIRST_RUNS,
    HEAVY,
    IMPORT,
    LARGE,
    LAST_RUNS,
    LOAD,
    MEMORY,
    ON_FILES,
    PARSE,
    PS,
    REBUILD,
    RUN,
    RUNNING,
    SIDE,
)
from dockmagic_runtime.catalogue.applets import make_applet_root

HERE = Path(__file__).parent
ROWS = (RUN, EXEC, PS, SIDE, DIFF, COPY, COMMIT, BUILD, REBUILD, LARGE)
FEWEST, ROW_SECONDS = 3, 45  # a row that takes longer has fewer rounds, but so many
OURS = (PARSE,)  # measured of this engine alone
NOTEBOOK = (IMPORT, LOAD, FIRST)
MANY = (FIRST_RUNS, LAST_RUNS)
GROUPS: dict[str, tuple[str, ...]] = {
    "cold": (*cold.GOALS, cold.FIRST_PS),
    "engine": (MEMORY, *ROWS, *OURS, *MANY),
    "notebook": (*NOTEBOOK, cold.FIRST_PS),
    "files": files.ROWS,
}
Values = dict[str, dict[str, float]]  # by row and peer: median seconds, or bytes of memory


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count (default: 15)")
    parser.add_argument("--no-write", action="store_true", help="leave benchmarks/README.md alone")
    parser.add_argument(
        "--only", metavar="ROW", help=f"measure one row, or one of {', '.join(GROUPS)}; not written"
    )
    options = parser.parse_args()
    rows = wanted_rows(options.only)
    if not rows:
        parser.error(f"there is no row {options.only!r}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the daemons end with us
    with tempfile.TemporaryDirectory(prefix="dockmagic-bench-") as directory:
        bench = Bench(Path(directory), options.rounds, rows)
        if not rows <= set(files.ROWS):
            with bench:
                bench.measure()
        if rows & set(files.ROWS):
            bench.measure_files()
    table = "\n\n".join(filter(None, (_table(bench.peers, bench.values), *bench.tables)))
    print(table)
    for note in bench.notes:
        print(f"- {note}", file=sys.stderr)
    if not (options.no_write or options.only):
        (HERE / "README.md").write_text(_page(bench, table))
    return 0


def wanted_rows(only: str | None) -> set[str]:
    """All rows, those of a group, or those whose name begins with a text; empty for a wrong one."""
    everything = {row for rows in GROUPS.values() for row in rows}
    if only is None:
        return everything
    return set(GROUPS.get(only, ())) or {row for row in everything if row.startswith(only)}


class Bench:
    """The peers of one run and what was measured of them. A context manager: it ends them.

    A peer that does not start is left out, and so is a row in which one fails; `notes` say why.
    """

    def __init__(self, state: Path, rounds: int, rows: set[str]) -> None:
        self.rounds = rounds
        self.rows = rows
        self.tables: list[str] = []  # of the groups that have one of their own
        self.peers: list[Peer] = []
        self.values: Values = {}
        self.notes: list[str] = []
        self._state = state
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        image = self._state / "busybox.tar"
        (self._state / "nothing").mkdir()
        make_applet_root(self._state / "nothing", image)
        self._ours = Ours(self._state)
        self._take(lambda: self._ours)
        for start in installed(self._state, image):
            try:
                self._take(start)
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                self.notes.append(f"left out: {error}")
        return self

    def _take(self, start: Callable[[], Peer]) -> None:
        with contextlib.ExitStack() as undo:
            peer = start()
            undo.callback(peer.close)
            peer.prepare(RUNNING, files=not self.rows.isdisjoint(ON_FILES))
            self._stack.push(undo.pop_all())
        self.peers.append(peer)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self) -> None:
        if MEMORY in self.rows:
            self._note(MEMORY, {peer.name: peer.memory() for peer in self.peers if peer.memory()})
        for row in [row for row in ROWS if row in self.rows]:
            rounds = max(FEWEST, self.rounds // 4) if row in HEAVY else self.rounds
            self._note(
                row, self._alternate([peer for peer in self.peers if peer.can(row)], row, rounds)
            )
        for row in [row for row in OURS if row in self.rows]:
            self._note(row, self._alternate(self.peers[:1], row, self.rounds))
        name = self._ours.name
        if not self.rows.isdisjoint(MANY):
            seconds = self._ours.many_runs()
            self._note(FIRST_RUNS, {name: statistics.median(seconds[:100])})
            self._note(LAST_RUNS, {name: statistics.median(seconds[-100:])})
        for row in [row for row in NOTEBOOK if row in self.rows]:
            self._note(row, {name: self._first(row)})
        self._measure_cold()

    def _measure_cold(self) -> None:
        peers = [peer for peer in self.peers if peer.name != Runc.name]
        measured = cold.measure(peers, self.rounds, self.rows.__contains__)
        first_ps = self._first(cold.FIRST_PS) if cold.FIRST_PS in self.rows else 0.0
        self.tables.append(cold.table(measured, [peer.name for peer in peers], first_ps))

    def _first(self, row: str) -> float:
        own = [seconds_of(row, self._state / "area") for _ in range(self.rounds + 1)]
        return statistics.median(own[1:])  # the first compiles modules

    def measure_files(self) -> None:
        directory = self._state / "files"
        directory.mkdir()
        measured = files.measure(directory, max(FEWEST, self.rounds // 4))
        self.tables.append(files.table(measured))

    def _note(self, row: str, values: dict[str, float]) -> None:
        self.values[row] = values
        shown = (f"{peer} {_shown(row, value)}" for peer, value in values.items())
        print(f"{row}: {', '.join(shown)}", file=sys.stderr, flush=True)

    def _alternate(self, peers: list[Peer], row: str, rounds: int) -> dict[str, float]:
        """Median seconds by peer; the first round warms up and does not count."""
        samples: dict[str, list[float]] = {peer.name: [] for peer in peers}
        enough = time.monotonic() + ROW_SECONDS
        for number in range(rounds + 1):
            if number > FEWEST and time.monotonic() > enough:
                break
            for peer in [peer for peer in peers if peer.name in samples]:
                try:
                    seconds = _seconds(peer, row)
                except (RuntimeError, subprocess.SubprocessError) as error:
                    self.notes.append(f"{row} failed with {peer.name}: {error}")
                    del samples[peer.name]
                else:
                    samples[peer.name] += [seconds] * bool(number)
        return {name: statistics.median(seconds) for name, seconds in samples.items()}


def _seconds(peer: Peer, row: str) -> float:
    start = time.perf_counter()
    peer.do(row)
    taken = time.perf_counter() - start
    peer.undo(row)
    return taken


def _table(peers: list[Peer], values: Values) -> str:
    """What was measured, and in brackets how many times ours that is."""
    if not values:
        return ""
    names = [peer.name for peer in peers]
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for row, by_peer in values.items():
        own = by_peer.get(names[0])
        cells = [_cell(row, by_peer.get(name), None if name == names[0] else own) for name in names]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: str, value: float | None, own: float | None) -> str:
    if value is None:
        return "–"
    return _shown(row, value) + (f" (×{value / own:.1f})" if own else "")


def _shown(row: str, value: float) -> str:
    return f"{value / 2**20:.2f} MiB" if row == MEMORY else f"{value * 1000:.1f} ms"


def _page(bench: Bench, table: str) -> str:
    versions = ", ".join(f"{peer.name.split(',')[0]} {peer.version}" for peer in bench.peers)
    notes = "".join(f"- {' '.join(note.split())}\n" for note in bench.notes)
    return f"""# Benchmarks

`make bench` measures this and writes this page. Every round does each row once with each peer
that is installed, in alternation; below are medians of {bench.rounds} rounds (a quarter of that
where containers are started side by side or 20,000 files are handled, and fewer where they take
long) after one that warmed up, and in brackets how many times our figure that is.

{table}

- In all rows but the imports {RUNNING} containers run meanwhile with every peer. The image is the
  same static busybox for all.
- We are called as a notebook calls us, through `Engine`; the others by their own commands, which
  is how a notebook would call them. runc alone has no image, network, log or name: it is the
  floor that container engines stand on.
- Each copy goes to a new directory, and none is removed before the end: ext4 is slow to hand out
  inodes that were freed a moment ago, with every peer.
- Every commit finds something new: of the same files twice there would be one layer.
- Memory is what stays with a container beside its own program: our supervisor, Docker's shim,
  podman's conmon. Docker's daemons come on top of that and are not counted. It is measured first,
  while nobody has asked anything of the containers.
- Docker builds with its classic builder; a round of ours with nothing cached makes six layers.
- A whole process is a command as it is typed, with {RUNNING} containers running, beside what
  `{cold.BASE}` takes in the same rounds; a goal that is missed is in bold.
- Peers work in a network namespace of their own, Docker with a daemon that the run starts and
  ends. One that is not installed, or does not start, is left out.
{notes}
Measured with {versions}; Python {platform.python_version()} on {_machine()}.
"""


def _machine() -> str:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cgroup = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
    commit = subprocess.run(
        ["git", "-C", HERE, "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return (
        f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, "
        f"cgroup {cgroup}; commit {commit or 'unknown'}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
