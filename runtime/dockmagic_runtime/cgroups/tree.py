"""What both versions share: a control group is a directory, in one tree or in several."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Iterator
from typing import Final

from dockmagic_runtime.cgroups.settings import Setting
from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.linux.interface import Linux

_PROCS: Final = "cgroup.procs"
_SHORTEST, _LONGEST = 0.000_05, 0.002  # seconds between two looks at the kernel's progress
_LOOKS: Final = 1000  # about two seconds in all, for freezing, killing or letting go
_GONE: Final = (errno.ENOENT, errno.ENODEV)  # the directory; or between opening and reading it
_BUSY: Final = (errno.EBUSY, errno.ENOTEMPTY)


def _looks() -> Iterator[None]:
    """Waits between its steps: hardly at first, since mostly the next look is enough."""
    pause = _SHORTEST
    for _ in range(_LOOKS):
        yield
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)


class Directories:
    """One control group's directories. The first is asked for all: it is made and joined first
    and removed last, so that whatever was interrupted, nothing is in another that is not in it."""

    cgroup_path = ""

    def __init__(self, linux: Linux, name: str, directories: tuple[str, ...]) -> None:
        self._linux = linux
        self._name = name
        self._main = directories[0]
        self.directories = directories

    # ------------------------------------------------------------------ files

    def read(self, path: str) -> str:
        """A control file's text; empty where the kernel has no such file."""
        try:
            return self._linux.read_file(path).decode().strip()
        except OSError as error:
            # EOPNOTSUPP: the file is there and its controller does not serve this kind of group
            if error.errno in (*_GONE, errno.EOPNOTSUPP):
                return ""
            raise

    def number(self, path: str) -> int:
        """A control file's number; 0 for "max" and where there is no such file."""
        text = self.read(path)
        return int(text) if text.lstrip("-").isdecimal() else 0

    def value_of(self, path: str, key: str) -> int:
        """The number after `key` in a file of "key number" lines; 0 if it is not there."""
        for line in self.read(path).splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
        return 0

    def write(self, path: str, value: str) -> None:
        self._linux.write_file(path, value.encode())

    def set_first(self, directory: str, setting: Setting) -> str:
        """Write a setting, or the one that stands in for it on other kernels. The warning to give
        if neither is possible and that is bearable, else nothing."""
        try:
            self.write(f"{directory}/{setting.file}", setting.value)
        except FileNotFoundError:
            if setting.instead is not None:
                return self.set_first(directory, setting.instead)
            return self.left_out(setting)
        return ""

    def left_out(self, setting: Setting) -> str:
        if setting.optional:
            return setting.optional
        raise Unsupported(
            f"this host cannot limit {setting.file}: "
            f"the {setting.controller} cgroup controller is not available",
            hint="run without this limit, or let the host delegate the controller",
        )

    # ------------------------------------------------------------------ existence

    def exists(self) -> bool:
        try:
            self._linux.read_file(f"{self._main}/{_PROCS}")
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise
        return True

    def make(self, directory: str) -> bool:
        """Make one directory, in a parent that exists. False if it exists already."""
        try:
            self._linux.mkdir(directory, 0o755)
        except FileExistsError:
            return False
        return True

    def delete(self) -> None:
        for directory in reversed(self.directories):
            self._remove(directory)

    def _remove(self, directory: str) -> None:
        """With what the container made inside. A group stays busy for a moment after its last
        process: it counts until the process is quite gone."""
        for _ in _looks():
            try:
                self._linux.rmdir(directory)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
            else:
                return
            for name in self._inside(directory):
                self._remove(f"{directory}/{name}")
        raise Conflict(f"the control group {directory} is still in use and cannot be removed")

    def _inside(self, directory: str) -> list[str]:
        try:
            return self._linux.subdirectories(directory)
        except FileNotFoundError:
            return []

    # ------------------------------------------------------------------ processes

    def join(self, pid: int) -> None:
        for directory in self.directories:
            self.write(f"{directory}/{_PROCS}", str(pid))

    def pids(self) -> tuple[int, ...]:
        return tuple(sorted(self._pids_below(self._main)))

    def _pids_below(self, directory: str) -> set[int]:
        pids = {int(line) for line in self.read(f"{directory}/{_PROCS}").split()}
        for name in self._inside(directory):
            pids |= self._pids_below(f"{directory}/{name}")
        return pids

    def kill_each(self) -> None:
        """For kernels that cannot kill a group as one (before 5.14, and v1)."""
        for pid in self.pids():
            try:
                self._linux.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was faster

    def await_empty(self) -> None:
        """Until no process is left, killing those that were forked meanwhile."""
        for _ in _looks():
            if not self.pids():
                return
            self.kill_each()
        raise Conflict(f"processes of {self._name} are still there after they were killed")

    def await_text(self, path: str, wanted: str) -> bool:
        """Poll a control file until it says `wanted`; False if it never does."""
        return any(wanted in self.read(path).splitlines() for _ in _looks())

    def cannot_freeze(self) -> Conflict:
        return Conflict(f"cannot freeze {self._name}: its processes do not come to rest")
