"""`FakeCgroups`: cgroup file systems in memory that refuse what the kernel refuses.

A new directory has its control files, and is removed with them; a process is in one group of
each tree; a cpuset without CPUs takes no process; memory may not be allowed more than memory and
swap; only a v2 group without processes hands controllers down. So code that passes here has its
order of steps right, for versions that the machine at hand does not have.
"""

from __future__ import annotations

import errno as _errno
import os
import posixpath
from collections.abc import Callable
from typing import Final

from dockmagic_runtime.testing.fake_linux import FakeLinux

ROOT: Final = "/sys/fs/cgroup"
OWN_PID: Final = 4242  # the process that writes "0"

_UNLIMITED: Final = str((1 << 63) - 4096)
_COMMON: Final = {"cgroup.procs": "", "tasks": "", "cgroup.clone_children": "0"}
_V1_FILES: Final = {
    "cpu": {"cpu.shares": "1024", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"},
    "cpuacct": {"cpuacct.usage": "0"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "memory": {
        "memory.limit_in_bytes": _UNLIMITED,
        "memory.memsw.limit_in_bytes": _UNLIMITED,
        "memory.soft_limit_in_bytes": _UNLIMITED,
        "memory.usage_in_bytes": "0",
        "memory.stat": "cache 0",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
    },
    "devices": {"devices.allow": "", "devices.deny": ""},
    "freezer": {"freezer.state": "THAWED"},
    "blkio": {"blkio.throttle.io_service_bytes_recursive": "Total 0"},
    "pids": {"pids.max": "max", "pids.current": "0"},
    "name=systemd": {},
}
_V2_COMMON: Final = {
    "cgroup.procs": "",
    "cgroup.controllers": "",
    "cgroup.subtree_control": "",
    "cgroup.events": "populated 0\nfrozen 0",
    "cgroup.freeze": "0",
    "cgroup.kill": "",
    "cpu.stat": "usage_usec 0",
}
_V2_FILES: Final = {
    "cpu": {"cpu.weight": "100", "cpu.max": "max 100000"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "io": {"io.stat": "", "io.weight": "default 100"},
    "memory": {
        "memory.max": "max",
        "memory.low": "0",
        "memory.swap.max": "max",
        "memory.current": "0",
        "memory.stat": "anon 0",
        "memory.events": "oom 0\noom_kill 0",
    },
    "pids": {"pids.max": "max", "pids.current": "0"},
}
V2_CONTROLLERS: Final = tuple(_V2_FILES)


class FakeCgroups(FakeLinux):
    """`Linux` over such trees. `freeze_reads` is how often a v1 freezer says FREEZING first."""

    def __init__(
        self, legacy: dict[str, tuple[str, ...]], unified: str = "", offered: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.legacy = {f"{ROOT}/{name}": controllers for name, controllers in legacy.items()}
        self.unified = unified
        self.freeze_reads = 0
        self.unkillable: set[int] = set()
        self._doomed: set[int] = set()  # killed while a v1 freezer held them
        self.files["/proc/self/mountinfo"] = "\n".join(self._mountinfo()).encode()
        self.files["/proc/self/cgroup"] = b"0::/\n"
        for root, controllers in self.legacy.items():
            self._plant(root, {**_COMMON, **self._v1_files(controllers)})
            for file in ("cpuset.cpus", "cpuset.mems"):
                if f"{root}/{file}" in self.files:
                    self.files[f"{root}/{file}"] = b"0-1\n"
        if unified:
            self._plant(unified, {**_V2_COMMON, "cgroup.controllers": " ".join(offered)})

    @classmethod
    def v1(cls, *, hybrid: bool = False) -> FakeCgroups:
        """A tree for each controller but one for both of cpu's, as systemd mounts them."""
        single = ("cpuset", "memory", "devices", "freezer", "blkio", "pids")
        trees: dict[str, tuple[str, ...]] = {name: (name,) for name in single}
        trees["cpu,cpuacct"] = ("cpu", "cpuacct")
        trees["systemd"] = ("name=systemd",)
        return cls(trees, f"{ROOT}/unified" if hybrid else "")

    @classmethod
    def v2(cls, offered: tuple[str, ...] = V2_CONTROLLERS) -> FakeCgroups:
        return cls({}, ROOT, offered)

    # ------------------------------------------------------------------ for tests

    def add_process(self, pid: int, directory: str) -> None:
        """Put a process into a group without the checks that joining makes."""
        self._move(pid, directory)

    def text(self, path: str) -> str:
        return self.files[path].decode().strip()

    def groups(self) -> set[str]:
        """All directories in the trees, without the roots."""
        return {path for path in self.directories if self._tree_of(path) not in ("", path)}

    # ------------------------------------------------------------------ trees

    def _mountinfo(self) -> list[str]:
        lines = ["20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"]
        for number, (root, controllers) in enumerate(self.legacy.items(), 30):
            options = ",".join(("rw", *controllers))
            lines.append(f"{number} 29 0:{number} / {root} rw,nosuid - cgroup cgroup {options}")
        if self.unified:
            lines.append(f"60 29 0:60 / {self.unified} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate")
        return lines

    @staticmethod
    def _v1_files(controllers: tuple[str, ...]) -> dict[str, str]:
        return {file: text for name in controllers for file, text in _V1_FILES[name].items()}

    def _tree_of(self, path: str) -> str:
        for root in (*self.legacy, *([self.unified] if self.unified else [])):
            if path == root or path.startswith(f"{root}/"):
                return root
        return ""

    def _plant(self, directory: str, files: dict[str, str]) -> None:
        self.directories.add(directory)
        for name, text in files.items():
            self.files[f"{directory}/{name}"] = f"{text}\n".encode()

    def _procs(self, directory: str) -> list[int]:
        return [int(pid) for pid in self.text(f"{directory}/cgroup.procs").split()]

    def _set_procs(self, directory: str, pids: list[int]) -> None:
        self.files[f"{directory}/cgroup.procs"] = "".join(f"{pid}\n" for pid in pids).encode()

    def _groups_below(self, directory: str) -> list[str]:
        return [path for path in self.directories if f"{path}/".startswith(f"{directory}/")]

    def _move(self, pid: int, directory: str) -> None:
        for other in self._groups_below(self._tree_of(directory)):
            self._set_procs(other, [member for member in self._procs(other) if member != pid])
        self._set_procs(directory, [*self._procs(directory), pid])

    def _end(self, pid: int) -> None:
        if pid in self.unkillable:
            return
        if self._is_held(pid):
            self._doomed.add(pid)
            return
        for directory in self.groups():
            members = [member for member in self._procs(directory) if member != pid]
            self._set_procs(directory, members)

    def _is_held(self, pid: int) -> bool:
        """By a v1 freezer: there even SIGKILL waits for the thaw."""
        groups = [path for path in self.groups() if f"{path}/freezer.state" in self.files]
        return any(
            self.text(f"{group}/freezer.state") != "THAWED" and pid in self._procs(group)
            for group in groups
        )

    # ------------------------------------------------------------------ the file system

    def mkdir(self, path: str, mode: int, dir_fd: int | None = None) -> None:
        tree, above = self._tree_of(path), posixpath.dirname(path)
        if tree and above not in self.directories:
            self._record("mkdir", path, mode, dir_fd, path=path)
            raise self._refuse(_errno.ENOENT, path)
        super().mkdir(path, mode, dir_fd)
        if tree in self.legacy:
            self._plant(path, {**_COMMON, **self._v1_files(self.legacy[tree])})
        elif tree:
            self._plant(path, _V2_COMMON)
            for controller in self.text(f"{above}/cgroup.subtree_control").split():
                self._hand_down(path, controller)

    def rmdir(self, path: str, dir_fd: int | None = None) -> None:
        """Control files do not keep a group from being removed: processes and groups do."""
        control: dict[str, bytes] = {}
        if self._tree_of(path) and path in self.directories:
            if self._procs(path) or len(self._groups_below(path)) > 1:
                self._record("rmdir", path, dir_fd, path=path)
                raise self._refuse(_errno.EBUSY, path)
            inside = [file for file in self.files if posixpath.dirname(file) == path]
            control = {file: self.files.pop(file) for file in inside}
        try:
            super().rmdir(path, dir_fd)
        except OSError:
            self.files |= control
            raise

    def write_file(self, path: str, data: bytes, dir_fd: int | None = None) -> None:
        directory, name = posixpath.split(path)
        if not self._tree_of(path):
            super().write_file(path, data, dir_fd)
            return
        self._record("write_file", path, data, dir_fd, path=path)
        if path not in self.files:
            raise self._refuse(_errno.ENOENT, path)
        rules: dict[str, Callable[[str, str], None]] = {
            "cgroup.procs": self._join,
            "tasks": self._join,
            "cgroup.kill": self._kill_group,
            "cgroup.freeze": self._freeze_group,
            "cgroup.subtree_control": self._enable,
            "freezer.state": self._set_freezer,
            "memory.limit_in_bytes": self._limit_memory,
            "memory.memsw.limit_in_bytes": self._limit_memory_and_swap,
        }
        if name in rules:
            rules[name](directory, data.decode().strip())
        elif not name.startswith("devices."):
            self.files[path] = data + b"\n"

    def read_file(self, path: str, dir_fd: int | None = None) -> bytes:
        data = super().read_file(path, dir_fd)
        if path.endswith("/freezer.state") and data == b"FREEZING\n":
            self.freeze_reads -= 1
            if self.freeze_reads <= 0:
                self.files[path] = b"FROZEN\n"
        return data

    def kill(self, pid: int, signal: int) -> None:
        super().kill(pid, signal)
        self._end(pid)

    # ------------------------------------------------------------------ what writing does

    @staticmethod
    def _refuse(number: int, path: str) -> OSError:
        return OSError(number, os.strerror(number), path)

    def _join(self, directory: str, pid: str) -> None:
        cpus = self.files.get(f"{directory}/cpuset.cpus")
        if self._tree_of(directory) in self.legacy and cpus == b"\n":
            raise self._refuse(_errno.ENOSPC, directory)
        control = f"{directory}/cgroup.subtree_control"
        if directory != self.unified and self.files.get(control, b"\n") != b"\n":
            raise self._refuse(_errno.EBUSY, directory)
        self._move(int(pid) or OWN_PID, directory)

    def _kill_group(self, directory: str, _value: str) -> None:
        for group in self._groups_below(directory):
            for pid in self._procs(group):
                self._end(pid)

    def _freeze_group(self, directory: str, value: str) -> None:
        self.files[f"{directory}/cgroup.freeze"] = f"{value}\n".encode()
        self.files[f"{directory}/cgroup.events"] = f"populated 1\nfrozen {value}\n".encode()

    def _set_freezer(self, directory: str, state: str) -> None:
        is_slow = state == "FROZEN" and self.freeze_reads > 0
        self.files[f"{directory}/freezer.state"] = (
            b"FREEZING\n" if is_slow else f"{state}\n".encode()
        )
        for pid in sorted(self._doomed):
            self._end(pid)

    def _enable(self, directory: str, change: str) -> None:
        controller = change.removeprefix("+")
        if controller not in self.text(f"{directory}/cgroup.controllers").split():
            raise self._refuse(_errno.ENOENT, directory)
        if self._procs(directory) and directory != self.unified:
            raise self._refuse(_errno.EBUSY, directory)
        enabled = f"{self.text(f'{directory}/cgroup.subtree_control')} {controller}".strip()
        self.files[f"{directory}/cgroup.subtree_control"] = f"{enabled}\n".encode()
        for group in self._groups_below(directory):
            if posixpath.dirname(group) == directory:
                self._hand_down(group, controller)

    def _hand_down(self, directory: str, controller: str) -> None:
        path = f"{directory}/cgroup.controllers"
        self.files[path] = f"{self.text(path)} {controller}\n".lstrip().encode()
        self._plant(directory, _V2_FILES[controller])

    def _limit_memory(self, directory: str, value: str) -> None:
        self._limit(directory, "limit", "memsw.limit", value, lambda new, both: new <= both)

    def _limit_memory_and_swap(self, directory: str, value: str) -> None:
        self._limit(directory, "memsw.limit", "limit", value, lambda new, memory: new >= memory)

    def _limit(
        self,
        directory: str,
        which: str,
        other: str,
        value: str,
        fits: Callable[[int, int], bool],
    ) -> None:
        wanted = _UNLIMITED if value == "-1" else value
        bound = self.files.get(f"{directory}/memory.{other}_in_bytes")
        if bound is not None and not fits(int(wanted), int(bound)):
            raise self._refuse(_errno.EINVAL, directory)
        self.files[f"{directory}/memory.{which}_in_bytes"] = f"{wanted}\n".encode()
