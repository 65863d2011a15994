"""`logs` of a large log: in full, the last lines, and from a time near the end; ours and Docker's.

`python benchmarks/logs.py` writes one log of four million lines (580 MB) in Docker's json-file
format, gives it to a container of each engine, and runs the whole command as a terminal does. It
compares with Docker where that is installed, and writes benchmarks/logs.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "runtime")]

from benchmarks.peers import Docker  # noqa: E402
from dockmagic_runtime import Engine  # noqa: E402
from dockmagic_runtime.catalogue.applets import make_applet_root  # noqa: E402
from dockmagic_runtime.model.container import ContainerSpec  # noqa: E402
from dockmagic_runtime.supervisor.logs.json_file import JsonLog, timestamp  # noqa: E402

LINES: Final = 4_000_000
START: Final = 1_700_000_000  # seconds since the epoch; 5000 lines a second
RATE: Final = 5000
VERBS: Final = {
    "logs": (),
    "logs --tail 1000": ("--tail", "1000"),
    "logs --since, 1000 lines before the end": (
        "--since", timestamp((START * RATE + LINES - 1000) * (10**9 // RATE)),
    ),
    "logs --timestamps": ("--timestamps",),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An engine's command, and the environment in which it finds its container."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def seconds(self, *words: str) -> tuple[float, int]:
        """How long `logs` takes as a process of its own, and how many bytes it prints."""
        began = time.perf_counter()
        with subprocess.Popen(
            [*self.command, "logs", *words, "big"],
            stdout=subprocess.PIPE,
            env={**os.environ, **self.environment},
        ) as process:
            assert process.stdout is not None
            count = 0
            while data := process.stdout.read(1 << 20):
                count += len(data)
        if process.returncode:
            raise RuntimeError(f"{self.name}: logs exited with {process.returncode}")
        return time.perf_counter() - began, count


def write_log(path: Path) -> None:
    """Lines of 75 bytes, every tenth with characters that JSON escapes."""
    real, now = time.time_ns, START * 10**9
    log = JsonLog(str(path))
    try:
        for first in range(0, LINES, 200):
            now = (START * RATE + first) * (10**9 // RATE)
            time.time_ns = lambda now=now: now  # type: ignore[misc]
            log.write("stdout", b"".join(map(_line, range(first, first + 200))))
    finally:
        time.time_ns = real
        log.close()


def _line(number: int) -> bytes:
    if number % 10:
        return b"%08d a line of a log with some text in it that goes on for a while, ok\n" % number
    return b'%08d a line of a log with some text in it, and "quotes" now and then\tx\n' % number


@contextlib.contextmanager
def ours(state: Path, log: Path) -> Iterator[Target]:
    with Engine(state) as engine:
        for _ in engine.images.pull("busybox"):
            pass
        spec = ContainerSpec(image="busybox", name="big", command=("true",))
        container = engine.containers.create(spec)
        os.link(log, str(engine.containers.inspect(container.id)["LogPath"]))
        try:
            command = (sys.executable, "-m", "dockmagic")
            environment = {
                "DOCKMAGIC_ROOT": str(state),
                "PYTHONPATH": f"{HERE.parent}:{HERE.parent / 'runtime'}",
            }
            yield Target(name="dockmagic", command=command, environment=environment)
        finally:
            engine.containers.remove(container.id, force=True)
            engine.system.dismantle()


@contextlib.contextmanager
def docker(state: Path, log: Path) -> Iterator[Target]:
    (state / "nothing").mkdir(parents=True)
    image = state / "busybox.tar"
    make_applet_root(state / "nothing", image)
    with contextlib.closing(Docker(state, image)) as daemon:
        daemon.docker("run", "--name", "big", "busybox", "true")
        path = Path(daemon.docker("inspect", "-f", "{{.LogPath}}", "big").strip())
        path.unlink()
        os.link(log, path)
        environment = {"DOCKER_HOST": f"unix://{state}/docker.sock"}
        yield Target(name="Docker", command=("docker",), environment=environment)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=1, help="rounds that count (default: 1)")
    parser.add_argument("--no-write", action="store_true", help="leave benchmarks/logs.md alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dockmagic-bench-") as directory:
        state = Path(directory)
        write_log(state / "log")
        size = (state / "log").stat().st_size
        with contextlib.ExitStack() as stack:
            targets = [stack.enter_context(ours(state / "ours", state / "log"))]
            try:
                targets.append(stack.enter_context(docker(state / "docker", state / "log")))
            except (OSError, RuntimeError) as error:
                print(f"without Docker: {error}", file=sys.stderr)
            seconds = measure(targets, options.rounds)
    page = _page(targets, seconds, size, options.rounds)
    print(page)
    if not options.no_write:
        (HERE / "logs.md").write_text(page)
    return 0


def measure(targets: list[Target], rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds by command and engine, after one round that fills the page cache."""
    taken: dict[str, dict[str, list[float]]] = {verb: {} for verb in VERBS}
    for number in range(rounds + 1):
        for verb, words in VERBS.items():
            for target in targets:
                seconds, _ = target.seconds(*words)
                if number:
                    taken[verb].setdefault(target.name, []).append(seconds)
    return {
        verb: {name: statistics.median(each) for name, each in row.items()}
        for verb, row in taken.items()
    }


def _page(
    targets: list[Target], seconds: dict[str, dict[str, float]], size: int, rounds: int
) -> str:
    names = [target.name for target in targets]
    lines = [
        "# Reading a large log",
        "",
        f"A log of {LINES:,} lines ({size / 1e6:.0f} MB); whole processes, medians of {rounds}",
        f"rounds on {os.cpu_count()} processors, by logs.py.",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---:|' * len(names)}",
    ]
    for verb, row in seconds.items():
        own = row[names[0]]
        cells = [
            f"{row[name]:.2f} s" + (f" (×{row[name] / own:.1f})" if name != names[0] else "")
            for name in names
        ]
        lines.append(f"| {verb} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
