"""A control group in the one tree of version 2.

Only a group without processes of its own may hand controllers to its children, so the parent
that holds our containers never has a process, and where ours begins (the root, or a subtree
delegated to us) we enable what may be enabled and leave the rest: a limit that is then asked for
and cannot be set says so itself.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from typing import Final

from dockmagic_runtime.cgroups.bpf import attach_device_program
from dockmagic_runtime.cgroups.devices import DeviceRule
from dockmagic_runtime.cgroups.interface import CgroupStats
from dockmagic_runtime.cgroups.settings import settings_v2
from dockmagic_runtime.cgroups.tree import Directories
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.model.container import Resources

_WANTED: Final = ("cpu", "cpuset", "io", "memory", "pids")
_RETRY: Final = 3
_PAGE: Final = 4096
_MICROSECOND: Final = 1000  # nanoseconds


class CgroupV2(Directories):
    """`Cgroup` in the unified tree, below `base`."""

    def __init__(self, linux: Linux, base: str, parent: str, name: str) -> None:
        self._base = base
        self._parent = parent
        self._path = f"{base}/{parent}/{name}"
        super().__init__(linux, name, (self._path,))
        self.cgroup_path = self._path

    # ------------------------------------------------------------------ existence

    def create(self) -> None:
        for _ in range(_RETRY):
            try:
                self.make(self._path)
            except FileNotFoundError:
                for directory in self._ancestors():
                    self.make(directory)
            else:
                break
        else:
            self.make(self._path)
        self._enable_controllers()

    def _ancestors(self) -> Iterator[str]:
        path = self._base
        for part in self._parent.split("/"):
            path = f"{path}/{part}"
            yield path

    def _enable_controllers(self) -> None:
        """Down from the base, so that the new group has what it can have. A parent that another
        process has just made may not be ready: hence asked of each new group, not of the parent."""
        here = set(self.read(f"{self._path}/cgroup.controllers").split())
        if here.issuperset(_WANTED):
            return
        for directory in (self._base, *self._ancestors()):
            self._enable_in(directory)

    def _enable_in(self, directory: str) -> None:
        offered = set(self.read(f"{directory}/cgroup.controllers").split())
        enabled = set(self.read(f"{directory}/cgroup.subtree_control").split())
        for controller in _WANTED:
            if controller in offered - enabled:
                try:
                    self.write(f"{directory}/cgroup.subtree_control", f"+{controller}")
                except OSError:
                    continue  # processes in the way, or not ours to enable: see the module

    # ------------------------------------------------------------------ limits

    def apply(self, limits: Resources) -> tuple[str, ...]:
        settings = settings_v2(limits)
        return tuple(filter(None, (self.set_first(self._path, setting) for setting in settings)))

    def allow_devices(self, rules: Sequence[DeviceRule]) -> None:
        attach_device_program(self._linux, self._path, rules)

    # ------------------------------------------------------------------ freezing and killing

    def freeze(self) -> None:
        self.write(f"{self._path}/cgroup.freeze", "1")
        if not self.await_text(f"{self._path}/cgroup.events", "frozen 1"):
            self.thaw()
            raise self.cannot_freeze()

    def thaw(self) -> None:
        self.write(f"{self._path}/cgroup.freeze", "0")

    def kill_all(self) -> None:
        """SIGKILL reaches a group frozen by v2, so it needs no thawing."""
        if not self.exists():
            return
        try:
            self.write(f"{self._path}/cgroup.kill", "1")
        except FileNotFoundError:
            self.kill_each()
        self.await_empty()

    # ------------------------------------------------------------------ measuring

    def stats(self) -> CgroupStats:
        usage = self.number(f"{self._path}/memory.current")
        inactive = self.value_of(f"{self._path}/memory.stat", "inactive_file")
        read, write = self._block_bytes()
        return CgroupStats(
            cpu_ns=self.value_of(f"{self._path}/cpu.stat", "usage_usec") * _MICROSECOND,
            memory_bytes=max(usage - inactive, 0),
            memory_limit=self.number(f"{self._path}/memory.max"),
            pids=self.number(f"{self._path}/pids.current"),
            block_read=read,
            block_write=write,
        )

    def _block_bytes(self) -> tuple[int, int]:
        """Lines of "major:minor rbytes=… wbytes=… …"."""
        totals = {"rbytes": 0, "wbytes": 0}
        for word in self.read(f"{self._path}/io.stat").split():
            key, _, value = word.partition("=")
            if key in totals:
                totals[key] += int(value)
        return totals["rbytes"], totals["wbytes"]

    def oom_events(self) -> int:
        return self.value_of(f"{self._path}/memory.events", "oom_kill")

    def oom_alarm(self) -> tuple[int, int]:
        try:
            fd = os.open(f"{self._path}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1, 0
        os.read(fd, _PAGE)  # EPOLLPRI reports changes since the last read
        return fd, select.EPOLLPRI
