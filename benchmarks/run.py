"""`make bench`: us, and Docker, podman and runc where they are installed, in alternation.

Every round does each row once with every peer, so a busy moment of the machine hits all of them;
medians are compared. Prints the table and writes it, with the machine's description, to
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.ours import FIRST, IMPORT, LARGE, LOAD, PARSE, Ours, seconds_of
from benchmarks.peers import BUILD, EXEC, PS, REBUILD, RUN, Peer, installed
from dockmagic_runtime.catalogue.applets import make_applet_root

HERE = Path(__file__).parent
RUNNING = 20
ROWS = (RUN, EXEC, PS, BUILD, REBUILD)
OURS = (PARSE, LARGE)  # that nobody else has
Times = dict[str, dict[str, float]]  # median seconds by row and peer


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count (default: 15)")
    parser.add_argument("--no-write", action="store_true", help="leave benchmarks/README.md alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dockmagic-bench-") as directory:
        peers, times = _measure(Path(directory), options.rounds)
    table = _table(peers, times)
    print(table)
    if not options.no_write:
        (HERE / "README.md").write_text(_page(peers, table, options.rounds))
    return 0


def _measure(state: Path, rounds: int) -> tuple[list[Peer], Times]:
    image = state / "busybox.tar"
    (state / "nothing").mkdir()
    make_applet_root(state / "nothing", image)
    with contextlib.ExitStack() as stack:
        peers: list[Peer] = []
        for peer in _start(state, image):
            stack.callback(peer.close)
            peer.prepare(RUNNING)
            peers.append(peer)
        times = {
            row: _alternate([peer for peer in peers if peer.can(row)], row, rounds) for row in ROWS
        }
        times |= {row: _alternate(peers[:1], row, rounds) for row in OURS}
        for row in (IMPORT, LOAD, FIRST):
            own = [seconds_of(row, state / "area") for _ in range(rounds)]
            times[row] = {peers[0].name: statistics.median(own)}
    return peers, times


def _start(state: Path, image: Path) -> Iterator[Peer]:
    yield Ours(state)
    yield from installed(state, image)


def _alternate(peers: list[Peer], row: str, rounds: int) -> dict[str, float]:
    """Median seconds by peer; the first round warms up and does not count."""
    samples: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(rounds + 1):
        for peer in peers:
            seconds = _seconds(peer, row)
            if number:
                samples[peer.name].append(seconds)
    return {name: statistics.median(found) for name, found in samples.items()}


def _seconds(peer: Peer, row: str) -> float:
    start = time.perf_counter()
    peer.do(row)
    return time.perf_counter() - start


def _table(peers: list[Peer], times: Times) -> str:
    """Milliseconds, and in brackets how many times ours that is."""
    names = [peer.name for peer in peers]
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for row, medians in times.items():
        own = medians[names[0]]
        cells = [_cell(medians.get(name), own, name == names[0]) for name in names]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(seconds: float | None, own: float, is_own: bool) -> str:
    if seconds is None:
        return "–"
    text = f"{seconds * 1000:.1f} ms"
    return text if is_own else f"{text} (×{seconds / own:.1f})"


def _page(peers: list[Peer], table: str, rounds: int) -> str:
    versions = ", ".join(f"{peer.name.split(',')[0]} {peer.version}" for peer in peers)
    return f"""# Benchmarks

`make bench` measures this and writes this page. Every round does each row once with each peer
that is installed, in alternation; below are medians of {rounds} rounds after one that warmed up,
and in brackets how many times our figure that is.

{table}

- In the rows before the imports {RUNNING} containers run meanwhile with every peer. The image is
  the same static busybox for all.
- We are called as a notebook calls us, through `Engine`; the others by their own commands, which
  is how a notebook would call them. runc alone has no image, network, log or name: it is the
  floor that container engines stand on.
- Docker builds with its classic builder; a round of ours with nothing cached makes six layers.
- Peers work in a network namespace of their own, Docker with a daemon that the run starts and
  ends.

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
