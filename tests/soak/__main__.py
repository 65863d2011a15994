"""`python -m tests.soak [SECONDS] [SEED]`: several processes, random verbs, random `kill -9`.

Then the invariants: no traceback was printed and no call hung; the database is whole; each tagged
image runs; the data of a volume that nothing wrote to are intact; and after `system prune` nothing
of the area is left on the host. The seed is printed first: the same one repeats the lines, not
the timing.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .lines import BASE, KEPT, dockerfile, lines

WORKERS = 3
LONGEST = 120  # seconds that one call may take on a busy machine
ROOT = Path(__file__).parents[2]


class Soak:
    """One area, its workers, and what went wrong."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.seed = seed
        self.data_root = DataRoot.at(directory / "area")
        self.problems: list[str] = []
        self.calls = 0
        self.killed = 0
        self._running: dict[int, list[str]] = {}
        self._lock = threading.Lock()
        self._environment = {
            **os.environ,
            "DOCKMAGIC_ROOT": str(self.data_root.root),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'runtime'}",
        }

    def call(self, *words: str, timeout: float = LONGEST) -> subprocess.CompletedProcess[str]:
        """A command line in a process of its own; a hang or a traceback is a problem."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dockmagic", *words],
            env=self._environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        with self._lock:
            self.calls += 1
            self._running[process.pid] = list(words)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.problems.append(f"hung for {timeout} s: {' '.join(words)}")
        finally:
            with self._lock:
                del self._running[process.pid]
        if "Traceback" in err:
            self.problems.append(f"traceback: {' '.join(words)}\n{err}")
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    # The load.

    def prepare(self) -> None:
        self.require("pull", "-q", BASE)
        self.require("volume", "create", KEPT)
        self.require("run", "--rm", "-v", f"{KEPT}:/k", BASE, "sh", "-c", "echo intact > /k/data")

    def require(self, *words: str) -> str:
        done = self.call(*words)
        if done.returncode:
            self.problems.append(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    def work(self, number: int, deadline: float) -> None:
        chance = random.Random(f"{self.seed}/{number}")
        directory = self.directory / f"worker{number}"
        directory.mkdir()
        round_ = 0
        while time.monotonic() < deadline:
            dockerfile(directory, round_)
            self.call(*lines(chance, directory))
            round_ += 1

    def kill(self, deadline: float) -> None:
        """Every second or so one process of ours: a command, a launcher, a supervisor, a proxy."""
        chance = random.Random(f"{self.seed}/kill")
        while time.monotonic() < deadline:
            time.sleep(chance.uniform(0.2, 2.0))
            with self._lock:
                commands = list(self._running)
            candidates = commands + (list(self._ours()) if chance.random() < 0.5 else [])
            if candidates:
                self._kill(chance.choice(candidates))

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed += 1

    def _ours(self) -> Iterator[int]:
        """Launchers, supervisors and proxies of this area, by what they hold open."""
        mark = str(self.data_root.run)
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                name = Path(f"/proc/{pid}/comm").read_text()
                held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            except OSError:
                continue  # it ended meanwhile
            if name.startswith("dockmagic-") and any(mark in target for target in held):
                yield pid

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self.work, args=(number, deadline)) for number in range(WORKERS)
        ]
        threads.append(threading.Thread(target=self.kill, args=(deadline,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # The invariants.

    def check(self) -> None:
        for words in (["ps", "-a"], ["images"], ["volume", "ls"], ["network", "ls"]):
            self.require(*words)
        self.require("system", "df")
        self._check_database()
        names = self.require("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        for name in sorted(set(names)):
            if "<none>" not in name:
                self.require("run", "--rm", name, "true")
        kept = self.require("run", "--rm", "-v", f"{KEPT}:/k:ro", BASE, "cat", "/k/data")
        if kept != "intact\n":
            self.problems.append(f"the volume {KEPT} has {kept!r}")

    def _check_database(self) -> None:
        with contextlib.closing(sqlite3.connect(self.data_root.database)) as database:
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            self.problems.append(f"integrity_check: {verdict}")

    def clean(self) -> None:
        containers = self.require("ps", "-a", "-q").split()
        if containers:
            self.require("rm", "-f", *containers)
        self.require("system", "prune", "-a", "-f", "--volumes")
        self.require("volume", "prune", "-a", "-f")
        rest = self.require("ps", "-a", "-q") + self.require("images", "-a", "-q")
        if rest.strip():
            self.problems.append(f"not pruned: {rest}")
        # bridges and tables of the area's default network stay until the area is dismantled
        from dockmagic_runtime import Engine

        with Engine(self.data_root.root) as engine:
            engine.system.dismantle()
        if left := left_behind(HostSnapshot.nothing(), self.data_root):
            self.problems.append(f"left on the host:\n{left}")


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f"soak: {seconds:g} s with seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dockmagic-soak-") as directory:
        soak = Soak(Path(directory), seed)
        soak.prepare()
        soak.run(seconds)
        soak.check()
        soak.clean()
    for problem in soak.problems:
        print(problem)
    print(f"soak: {soak.calls} calls, {soak.killed} killed, {len(soak.problems)} problems")
    return bool(soak.problems)


if __name__ == "__main__":
    sys.exit(main())
