"""The peers: Docker, podman and runc, each started so that it disturbs nobody.

A peer works in a network and mount namespace of its own, with its state in a directory of the
run, so its bridge and its firewall rules never meet ours. All run the same image: the host's
static busybox with a link per applet.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

RUN, EXEC, PS = "run --rm busybox true", "exec true", "ps, 20 containers"
BUILD, REBUILD = "build, 12 steps of which 6 RUN", "the same, all cached"
_WORDS = {RUN: ("run", "--rm", "busybox", "true"), EXEC: ("exec", "bench0", "true"), PS: ("ps",)}


class Peer(Protocol):
    """Something that runs containers. `prepare` brings up what the rows need and is not timed."""

    name: str
    version: str

    def prepare(self, running: int) -> None: ...
    def can(self, row: str) -> bool: ...
    def do(self, row: str) -> None: ...
    def close(self) -> None: ...


def build_context(directory: Path) -> Path:
    """A Dockerfile of 12 instructions, of which six run something, and the file that it copies."""
    runs = [f"RUN echo {number} > {number}" for number in range(6)]
    lines = ["FROM busybox", "ENV A=1", "WORKDIR /app", "COPY file /app/", *runs, "LABEL x=y",
             'CMD ["sh"]']  # fmt: skip
    directory.mkdir()
    (directory / "file").write_text("x")
    (directory / "Dockerfile").write_text("\n".join(lines) + "\n")
    return directory


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
    """dockerd, its containerd and the docker command; the daemon ends with the run."""

    name = "Docker"

    def __init__(self, state: Path, image: Path) -> None:
        self._namespaces = Namespaces()
        self._environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{state}/docker.sock",
            "DOCKER_BUILDKIT": "0",  # the classic builder: the other is a program of its own
        }
        self._context = build_context(state / "context")
        self._log = (state / "dockerd.log").open("w")
        self._daemon = subprocess.Popen(
            [
                *self._namespaces.enter(),
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
            self._docker("import", str(image), "busybox")
            self.version = self._docker("version", "--format", "{{.Server.Version}}").strip()
            undo.pop_all()

    def _await_daemon(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self._docker("version")
                return
            except RuntimeError:
                if self._daemon.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _docker(self, *words: str) -> str:
        return call(["docker", *words], self._environment)

    def prepare(self, running: int) -> None:
        for number in range(running):
            self._docker("run", "-d", "--name", f"bench{number}", "busybox", "sleep", "3600")

    def can(self, row: str) -> bool:
        return True

    def do(self, row: str) -> None:
        if row in (BUILD, REBUILD):
            cache = ("--no-cache",) if row == BUILD else ()
            self._docker("build", "-q", *cache, str(self._context))
        else:
            self._docker(*_WORDS[row])

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            if names := self._docker("ps", "-a", "-q").split():
                self._docker("rm", "-f", *names)
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait(60)
        self._log.close()
        self._namespaces.close()


# podman's defaults are above ours, and a machine without CAP_SYS_RESOURCE cannot raise its own
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


class Podman:
    """podman with runc and its default bridge."""

    name = "podman"

    def __init__(self, state: Path, image: Path) -> None:
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

    def prepare(self, running: int) -> None:
        for number in range(running):
            name = f"bench{number}"
            self._podman("run", *_LIMITS, "-d", "--name", name, "busybox", "sleep", "3600")

    def can(self, row: str) -> bool:
        return row in _WORDS

    def do(self, row: str) -> None:
        verb, *rest = _WORDS[row]
        self._podman(verb, *(_LIMITS if verb == "run" else ()), *rest)

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
        self._running = 0
        self._next = 0

    def _write(self, arguments: list[str]) -> None:
        self._spec["process"]["args"] = arguments
        (self._state / "config.json").write_text(json.dumps(self._spec))

    def _runc(self, *words: str) -> str:
        return call(["runc", f"--root={self._state}/run", *words])

    def prepare(self, running: int) -> None:
        self._write(["sleep", "3600"])
        for number in range(running):
            # --detach leaves our pipes to the container, so it gets the null device
            subprocess.run(
                [
                    "runc",
                    f"--root={self._state}/run",
                    "run",
                    "--detach",
                    f"--bundle={self._state}",
                    f"dmbench{number}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            self._running += 1
        self._write(["true"])

    def can(self, row: str) -> bool:
        return row in _WORDS

    def do(self, row: str) -> None:
        self._next += 1
        words = {
            RUN: ("run", f"--bundle={self._state}", f"dmbench-once{self._next}"),
            EXEC: ("exec", "dmbench0", "true"),
            PS: ("list",),
        }
        self._runc(*words[row])

    def close(self) -> None:
        for number in range(self._running):
            self._runc("delete", "--force", f"dmbench{number}")


def installed(state: Path, image: Path) -> Iterator[Peer]:
    """Every peer that this machine has, started."""
    for kind, programs in (
        (Docker, ("dockerd", "docker")),
        (Podman, ("podman",)),
        (Runc, ("runc",)),
    ):
        if all(map(shutil.which, programs)):
            directory = state / kind.__name__.lower()
            directory.mkdir()
            yield kind(directory, image)
