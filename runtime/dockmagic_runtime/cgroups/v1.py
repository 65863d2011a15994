"""A control group in the trees of version 1, one for each controller or pair of them.

Hybrid machines (systemd's old default) have a v2 tree without controllers beside them, by which
systemd stops a unit. A group lies there too only where that is worth its price: see `join`.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.cgroups.bpf import attach_device_program
from dockmagic_runtime.cgroups.devices import DeviceRule
from dockmagic_runtime.cgroups.interface import CgroupStats
from dockmagic_runtime.cgroups.layout import Layout
from dockmagic_runtime.cgroups.settings import Setting, settings_v1
from dockmagic_runtime.cgroups.tree import Directories
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.model.container import Resources

_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")
_LIMIT: Final = "memory.limit_in_bytes"
_NO_LIMIT: Final = 1 << 62  # the kernel writes "none" as the largest number of pages it can count
_RETRY: Final = 3


class CgroupV1(Directories):
    """`Cgroup` where the controllers live in trees of their own."""

    def __init__(
        self, linux: Linux, layout: Layout, parent: str, name: str, *, hybrid: bool
    ) -> None:
        """With `hybrid` the group also lies in the v2 tree, if there is one."""
        trees = [tree for tree in layout.legacy if tree.writable]
        unified = layout.unified if hybrid and layout.unified else None
        where = f"{parent}/{name}"
        self._roots = tuple(tree.path for tree in (*trees, *([unified] if unified else [])))
        self._parent = parent
        self._by_controller = {
            controller: f"{tree.path}/{where}" for tree in trees for controller in tree.controllers
        }
        self._unified = f"{unified.path}/{where}" if unified else ""
        super().__init__(linux, name, tuple(f"{root}/{where}" for root in self._roots))

    def _in(self, controller: str) -> str:
        """Its directory in the tree of a controller; empty when this host has no such tree."""
        return self._by_controller.get(controller, "")

    # ------------------------------------------------------------------ existence

    def create(self) -> None:
        for root, directory in zip(self._roots, self.directories, strict=True):
            self._create(root, directory)
        if cpuset := self._in("cpuset"):
            self._inherit(cpuset)

    def _create(self, root: str, directory: str) -> None:
        """Straight away, and the parent only when it turns out to be missing: it hardly ever is.
        Another engine of the same area may remove an empty parent in between."""
        for _ in range(_RETRY):
            try:
                self.make(directory)
            except FileNotFoundError:
                self._make_parents(root)
            else:
                return
        self.make(directory)

    def _make_parents(self, root: str) -> None:
        path = root
        for part in self._parent.split("/"):
            path = f"{path}/{part}"
            self.make(path)

    def _inherit(self, directory: str) -> None:
        """Fill a cpuset from its parent's: no process may join one that has no CPU or no node."""
        for file in _INHERITED:
            if not self.read(f"{directory}/{file}"):
                self.write(f"{directory}/{file}", self._inherited(directory, file))

    def _inherited(self, directory: str, file: str) -> str:
        above = directory.rpartition("/")[0]
        value = self.read(f"{above}/{file}")
        if not value:
            value = self._inherited(above, file)
            self.write(f"{above}/{file}", value)
        return value

    # ------------------------------------------------------------------ limits

    def apply(self, limits: Resources) -> tuple[str, ...]:
        settings = list(settings_v1(limits))
        if limits.memory and self._raises_memory(limits.memory):
            settings[:2] = reversed(settings[:2])
        return tuple(filter(None, map(self._set, settings)))

    def _set(self, setting: Setting) -> str:
        directory = self._in(setting.controller)
        return self.set_first(directory, setting) if directory else self.left_out(setting)

    def _raises_memory(self, memory: int) -> bool:
        """Memory may never be allowed more than memory and swap together, not even in between:
        when it grows, the limit of both has to grow first."""
        current = self.number(f"{self._in('memory')}/{_LIMIT}")
        return memory < 0 or memory > current

    def allow_devices(self, rules: Sequence[DeviceRule]) -> None:
        if devices := self._in("devices"):
            self.write(f"{devices}/devices.deny", "a")
            for rule in rules:
                self.write(f"{devices}/devices.allow", str(rule))
        elif self._unified:
            attach_device_program(self._linux, self._unified, rules)
        else:
            raise Unsupported("this host has no cgroup that could keep devices from a container")

    # ------------------------------------------------------------------ processes

    def join(self, pid: int) -> None:
        """A single thread that moves itself needs not the lock that keeps all others from forking
        and exiting meanwhile, and after an idle moment that lock costs 5 to 15 ms (a grace period
        of RCU; measured on Linux 6.18). On v2 only CLONE_INTO_CGROUP avoids it."""
        if pid:
            super().join(pid)
            return
        for directory in self.directories:
            threads = "cgroup.procs" if directory == self._unified else "tasks"
            self.write(f"{directory}/{threads}", "0")

    # ------------------------------------------------------------------ freezing and killing

    def freeze(self) -> None:
        if not (freezer := self._in("freezer")):
            raise Unsupported("this host has no freezer cgroup: containers cannot be paused")
        self.write(f"{freezer}/freezer.state", "FROZEN")
        if not self.await_text(f"{freezer}/freezer.state", "FROZEN"):
            self.thaw()
            raise self.cannot_freeze()

    def thaw(self) -> None:
        if freezer := self._in("freezer"):
            self.write(f"{freezer}/freezer.state", "THAWED")

    def kill_all(self) -> None:
        if not self.exists():
            return
        self.kill_each()
        try:
            self.thaw()  # a frozen process dies when it moves again, not before
        except FileNotFoundError:
            pass  # a group that was made only in part
        self.await_empty()

    # ------------------------------------------------------------------ measuring

    def stats(self) -> CgroupStats:
        memory, limit = self._memory()
        read, write = self._block_bytes()
        return CgroupStats(
            cpu_ns=self.number(f"{self._in('cpuacct')}/cpuacct.usage"),
            memory_bytes=memory,
            memory_limit=limit,
            pids=self.number(f"{self._in('pids')}/pids.current"),
            block_read=read,
            block_write=write,
        )

    def _memory(self) -> tuple[int, int]:
        directory = self._in("memory")
        usage = self.number(f"{directory}/memory.usage_in_bytes")
        inactive = self.value_of(f"{directory}/memory.stat", "total_inactive_file")
        limit = self.number(f"{directory}/{_LIMIT}")
        return max(usage - inactive, 0), limit if limit < _NO_LIMIT else 0

    def _block_bytes(self) -> tuple[int, int]:
        """Lines of "major:minor Read bytes". Under the BFQ scheduler its own count is the right
        one; elsewhere it stays at nothing and the throttle layer has counted."""
        directory = self._in("blkio")
        for source in ("blkio.bfq.io_service_bytes", "blkio.throttle.io_service_bytes"):
            totals = {"Read": 0, "Write": 0}
            for line in self.read(f"{directory}/{source}_recursive").splitlines():
                _, *rest = line.split()
                if len(rest) == 2 and rest[0] in totals:
                    totals[rest[0]] += int(rest[1])
            if any(totals.values()):
                break
        return totals["Read"], totals["Write"]

    def oom_events(self) -> int:
        return self.value_of(f"{self._in('memory')}/memory.oom_control", "oom_kill")

    def oom_alarm(self) -> tuple[int, int]:
        directory = self._in("memory")
        try:
            control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1, 0
        alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self.write(f"{directory}/cgroup.event_control", f"{alarm} {control}")
        except BaseException:
            os.close(alarm)
            raise
        finally:
            os.close(control)
        return alarm, select.EPOLLIN
