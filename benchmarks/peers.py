"""The peers: Docker, podman and runc, each started apart from the host and from the others.

A peer works in a network and mount namespace of its own, with its state in a directory of the
run, so its bridge and its firewall rules never meet ours. All run the same image: the host's
static busybox with a link per applet.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from benchmarks.rows import (
    BIG,
    BIG_PATH,
    BUILD,
    COMMIT,
    COPY,
    DIFF,
    EXEC,
    FILL,
    LARGE,
    PS,
    REBUILD,
    RUN,
    RUNNING,
    SIDE,
    build_context,
    large_context,
    processes_of,
    proportional_size,
)

SIDE_NAMES = tuple(f"side{number}" for number in range(RUNNING))

_WORDS = {
    RUN: ("run", "--rm", "busybox", "true"),
    EXEC: ("exec", "bench0", "true"),
    PS: ("ps",),
    DIFF: ("diff", BIG),
    COMMIT: ("commit", BIG),
}


class Peer(Protocol):
    """Something that runs containers. Only `do` is timed."""

    name: str
    version: str

    def prepare(self, running: int, *, files: bool) -> None:
        """Bring up what the rows need, with `files` the container of many files too."""

    def command(self, *words: str) -> tuple[list[str], Mapping[str, str]]:
        """What a terminal would run: the program with its arguments, and its environment."""

    def can(self, row: str) -> bool: ...
    def do(self, row: str) -> None: ...

    def undo(self, row: str) -> None:
        """Take away what a round has left that the next one would trip over."""

    def memory(self) -> float:
        """Bytes of memory for each container that runs, its own program left out."""

    def close(self) -> None: ...


def another_file(state: Path) -> Path:
    """To put into a container, so that the next commit of it has something new."""
    path = state / "another"
    path.write_text(f"{time.time_ns()}\n")
    return path


def side_by_side(start: Callable[[str], object]) -> None:
    with ThreadPoolExecutor(RUNNING) as pool:
        list(pool.map(start, SIDE_NAMES))


class Namespaces:
    """A network and a mount namespace that live as long as this object."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", "ip link set lo up; echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()

    def enter(self) -> list[str]:
        """The words to put before a command."""
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount"]

    def close(self) -> None:
        self._holder.communicate()  # its cat ends with its input


def call(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Run `command`; its output, or what it complained about as an error."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Docker:
    """dockerd, its containerd and the docker command; the daemon ends with the run.

    `docker` is that command; `namespaces` are where its host is.
    """

    name = "Docker"

    def __init__(self, state: Path, image: Path) -> None:
        self.namespaces = Namespaces()
        self._environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{state}/docker.sock",
            "DOCKER_BUILDKIT": "0",  # the classic builder: the other is a program of its own
        }
        self._state = state
        self._copies = 0
        self._context = build_context(state / "docker-context")
        self._large = large_context(state / "docker-large")
        self._log = (state / "dockerd.log").open("w")
        self._daemon = subprocess.Popen(
            [
                *self.namespaces.enter(),
                "dockerd",
                f"--host=unix://{state}/docker.sock",
                f"--data-root={state}/data",
                f"--exec-root={state}/exec",
                f"--pidfile={state}/docker.pid",
                "--bip=10.213.77.1/24",
            ],
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._await_daemon()
            self.docker("import", str(image), "busybox")
            self.version = self.docker("version", "--format", "{{.Server.Version}}").strip()
            undo.pop_all()

    def _await_daemon(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.docker("version")
                return
            except RuntimeError:
                if self._daemon.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def docker(self, *words: str) -> str:
        return call(["docker", *words], self._environment)

    def prepare(self, running: int, *, files: bool) -> None:
        for number in range(running):
            self._start(f"bench{number}")
        if files:
            self.docker("run", "--name", BIG, "busybox", "sh", "-c", FILL)

    def command(self, *words: str) -> tuple[list[str], Mapping[str, str]]:
        return ["docker", *words], self._environment

    def _start(self, name: str) -> None:
        self.docker("run", "-d", "--name", name, "busybox", "sleep", "3600")

    def can(self, row: str) -> bool:
        return True

    def do(self, row: str) -> None:
        if row in (BUILD, REBUILD, LARGE):
            cache = ("--no-cache",) if row == BUILD else ()
            context = self._large if row == LARGE else self._context
            self.docker("build", "-q", *cache, str(context))
        elif row == SIDE:
            side_by_side(self._start)
        elif row == COPY:
            self._copies += 1
            self.docker("cp", f"{BIG}:{BIG_PATH}", f"{self._state}/copy{self._copies}")
        else:
            self.docker(*_WORDS[row])

    def undo(self, row: str) -> None:
        if row == SIDE:
            self.docker("rm", "-f", *SIDE_NAMES)
        elif row == COMMIT:
            self.docker("cp", str(another_file(self._state)), f"{BIG}:/another")

    def memory(self) -> float:
        """Without the daemons, which all share."""
        shims = processes_of(self._state, ("containerd-shim",))
        return sum(map(proportional_size, shims)) / RUNNING

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            if names := self.docker("ps", "-a", "-q").split():
                self.docker("rm", "-f", *names)
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait(60)
        self._log.close()
        self.namespaces.close()


# podman's defaults are above ours, and a machine without CAP_SYS_RESOURCE cannot raise its own
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


class Podman:
    """podman with runc and its default bridge."""

    name = "podman"

    def __init__(self, state: Path, image: Path) -> None:
        self._state = state
        self._copies = 0
        self._namespaces = Namespaces()
        self._words = [
            *self._namespaces.enter(),
            "podman",
            f"--root={state}/root",
            f"--runroot={state}/run",
            f"--network-config-dir={state}/networks",
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
        ]
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._podman("import", str(image), "docker.io/library/busybox")
            self.version = self._podman("version", "--format", "{{.Client.Version}}").strip()
            undo.pop_all()

    def _podman(self, *words: str) -> str:
        return call([*self._words, *words])

    def prepare(self, running: int, *, files: bool) -> None:
        for number in range(running):
            self._start(f"bench{number}")
        if files:
            self._podman("run", *_LIMITS, "--name", BIG, "busybox", "sh", "-c", FILL)

    def command(self, *words: str) -> tuple[list[str], Mapping[str, str]]:
        verb, *rest = words
        return [*self._words, verb, *(_LIMITS if verb == "run" else ()), *rest], os.environ

    def _start(self, name: str) -> None:
        self._podman("run", *_LIMITS, "-d", "--name", name, "busybox", "sleep", "3600")

    def can(self, row: str) -> bool:
        return row in _WORDS or row in (COPY, SIDE)

    def do(self, row: str) -> None:
        if row == SIDE:
            side_by_side(self._start)
        elif row == COPY:
            self._copies += 1
            self._podman("cp", f"{BIG}:{BIG_PATH}", f"{self._state}/copy{self._copies}")
        else:
            verb, *rest = _WORDS[row]
            self._podman(verb, *(_LIMITS if verb == "run" else ()), *rest)

    def undo(self, row: str) -> None:
        if row == SIDE:
            self._podman("rm", "-f", "-t", "0", *SIDE_NAMES)
        elif row == COMMIT:
            self._podman("cp", str(another_file(self._state)), f"{BIG}:/another")

    def memory(self) -> float:
        monitors = processes_of(self._state, ("conmon",))
        return sum(map(proportional_size, monitors)) / RUNNING

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._podman("rm", "-f", "-t", "0", "--all")
        self._namespaces.close()


class Runc:
    """runc alone: no image, no bridge, no log; the floor that the others stand on."""

    name = "runc, no network"

    def __init__(self, state: Path, image: Path) -> None:
        self._state = state
        rootfs = state / "rootfs"
        rootfs.mkdir()
        call(["tar", "-xf", str(image), "-C", str(rootfs)])
        call(["runc", "spec", "--bundle", str(state)])
        self._spec = json.loads((state / "config.json").read_text())
        self._spec["process"]["terminal"] = False
        self._write(["true"])
        self.version = call(["runc", "--version"]).split()[2]
        self._started: list[str] = []
        self._next = 0

    def _write(self, arguments: list[str]) -> None:
        self._spec["process"]["args"] = arguments
        (self._state / "config.json").write_text(json.dumps(self._spec))

    def _runc(self, *words: str) -> str:
        return call(["runc", f"--root={self._state}/run", *words])

    def command(self, *words: str) -> tuple[list[str], Mapping[str, str]]:
        raise NotImplementedError  # it has other commands than Docker: see `can`

    def prepare(self, running: int, *, files: bool) -> None:
        self._write(["sleep", "3600"])
        for number in range(running):
            self._start(f"{number}")
        self._write(["true"])

    def _start(self, name: str) -> None:
        # --detach leaves our pipes to the container, so it gets the null device
        subprocess.run(
            [
                "runc",
                f"--root={self._state}/run",
                "run",
                "--detach",
                f"--bundle={self._state}",
                f"dmbench{name}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        self._started.append(f"dmbench{name}")

    def can(self, row: str) -> bool:
        return row in (RUN, EXEC, PS)

    def do(self, row: str) -> None:
        self._next += 1
        words = {
            RUN: ("run", f"--bundle={self._state}", f"dmbench-once{self._next}"),
            EXEC: ("exec", "dmbench0", "true"),
            PS: ("list",),
        }
        self._runc(*words[row])

    def undo(self, row: str) -> None:
        """Nothing of its rows stays."""

    def memory(self) -> float:
        """No process stays with a container."""
        return 0

    def close(self) -> None:
        for name in self._started:
            self._runc("delete", "--force", name)


def installed(state: Path, image: Path) -> Iterator[Callable[[], Peer]]:
    """How to start every peer that this machine has."""
    for kind, programs in (
        (Docker, ("dockerd", "containerd", "docker")),
        (Podman, ("podman", "runc")),
        (Runc, ("runc",)),
    ):
        if all(map(shutil.which, programs)):
            directory = state / kind.__name__.lower()
            directory.mkdir()
            yield functools.partial(kind, directory, image)
