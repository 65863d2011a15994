"""A `docker` for the processes that a notebook starts: `!docker ps`, `%%bash`, `docker ps | wc -l`.

It is a program in a directory of its own, which stands first in the kernel's PATH while no other
Docker answers, and always in that of the shell behind `%docker`. It goes when the kernel ends.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shlex
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

_TIMEOUT: Final = 0.3  # seconds for a daemon to answer
_PREFIX: Final = "dockmagic-docker-"
_SETTLED: Final = 60.0  # seconds after which a directory in use is locked
_SOCKET: Final = "/var/run/docker.sock"
_PROGRAM = """\
#!/bin/sh
exec {python} -P -c {code} "$@"
"""
_CODE = """\
import sys
sys.argv[0] = "docker"
sys.path += [p for p in {packages!r} if p not in sys.path]
from dockmagic.cli import main
{configuration}main()
"""
_CONFIGURATION = """\
from dockmagic.session import current
current().configure(catalogue={catalogue!r})
"""


class Shim:
    """The directory with our `docker`: made when it is first wanted, removed by `close`."""

    def __init__(self) -> None:
        self._catalogue = "when-unreachable"
        self._directory: str | None = None
        self._lock = -1  # held while the directory is in use
        self._is_in_path = False

    @property
    def directory(self) -> str:
        if self._directory is None:
            _remove_abandoned()
            self._directory = tempfile.mkdtemp(prefix=_PREFIX)
            self._lock = _locked(self._directory)
            atexit.register(self.close)
            self._write(self._directory)
        return self._directory

    def configure(self, *, catalogue: str) -> None:
        """Gives the program the setting of the notebook."""
        if catalogue != self._catalogue:
            self._catalogue = catalogue
            if self._directory is not None:
                self._write(self._directory)

    def _write(self, directory: str) -> None:
        program = Path(directory, "docker")
        program.write_text(_text(self._catalogue), encoding="utf-8")
        program.chmod(0o755)

    def offer(self) -> None:
        """Puts our `docker` into the kernel's PATH, unless another one works there."""
        if not self._is_in_path and not other_docker_works():
            os.environ["PATH"] = os.pathsep.join((self.directory, _path()))
            self._is_in_path = True

    def withdraw(self) -> None:
        """Takes it out of the kernel's PATH."""
        if self._is_in_path:
            parts = _path().split(os.pathsep)
            os.environ["PATH"] = os.pathsep.join(p for p in parts if p != self._directory)
            self._is_in_path = False

    def close(self) -> None:
        self.withdraw()
        directory, self._directory = self._directory, None
        if directory is not None:
            atexit.unregister(self.close)
            shutil.rmtree(directory, ignore_errors=True)
            os.close(self._lock)


def _locked(directory: str) -> int:
    """A descriptor of the directory with its lock, or -1 if another process holds that."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def _remove_abandoned() -> None:
    """Removes the directories of kernels that were killed: no process holds their locks."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            status = path.lstat()
            is_old = time.time() - status.st_mtime > _SETTLED  # a new one is not locked at once
            if status.st_uid != os.geteuid() or not is_old or (lock := _locked(str(path))) < 0:
                continue
        except OSError:
            continue  # another process was faster
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _path() -> str:
    return os.environ.get("PATH", os.defpath)


def _text(catalogue: str) -> str:
    import dockmagic
    import dockmagic_runtime

    packages = [str(Path(package.__path__[0]).parent) for package in (dockmagic, dockmagic_runtime)]
    is_default = catalogue == "when-unreachable"
    code = _CODE.format(
        packages=list(dict.fromkeys(packages)),
        configuration="" if is_default else _CONFIGURATION.format(catalogue=catalogue),
    )
    return _PROGRAM.format(python=shlex.quote(sys.executable), code=shlex.quote(code))


def other_docker_works() -> bool:
    """Whether a `docker` in PATH has a daemon that answers.

    A client with another host or context is taken at its word, and so is one that is a script:
    it stands for another engine.
    """
    program = shutil.which("docker")
    if program is None:
        return False
    if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT") or _is_script(program):
        return True
    return _has_context() or _answers(_SOCKET)


def _is_script(program: str) -> bool:
    try:
        with Path(program).open("rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return False


def _has_context() -> bool:
    """Whether the client's configuration names an engine elsewhere."""
    import json

    directory = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    try:
        config = json.loads(Path(directory, "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    context = config.get("currentContext") if isinstance(config, dict) else None
    return context not in (None, "", "default")


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT)
        try:
            client.connect(path)
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return client.recv(16).startswith(b"HTTP/")
        except OSError:
            return False
