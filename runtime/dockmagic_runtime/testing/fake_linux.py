"""`FakeLinux`: the system call interface that records instead.

It keeps just enough of a world for its own answers to agree with one another: files and
directories in memory (parents need not exist), descriptors that know their path, the working
directory. Everything else is only recorded, in order, in `calls`. `fail` makes the n-th call
of a method raise, which is how undoing and cleaning up are tested.
"""

from __future__ import annotations

import errno as _errno
import os
import posixpath
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from dockmagic_runtime.linux import constants as c

FIRST_PID = 4_000_000  # no process has so high a number here, so none is hit by mistake
FIRST_FD = 100  # far from the real ones, so that a mix-up shows


class Call(Struct, frozen=True):
    """One call of the `Linux` protocol, with the values of all its arguments in order."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(slots=True)
class FakeLinux:
    """`Linux` in memory. `files` may be filled beforehand; paths are absolute."""

    files: dict[str, bytes] = field(default_factory=dict)
    directories: set[str] = field(default_factory=lambda: {"/"})
    symlinks: dict[str, str] = field(default_factory=dict)
    devices: dict[str, tuple[int, int]] = field(default_factory=dict)
    read_only: set[str] = field(default_factory=set)
    filesystems: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    open_fds: dict[int, str] = field(default_factory=dict)
    working_directory: str = "/"
    take_any_parameter: bool = False  # as file systems without a parser of their own do
    _failures: dict[tuple[str, int], int] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _next_fd: int = FIRST_FD

    # ------------------------------------------------------------------ for tests

    def fail(self, method: str, errno: int, *, on_call: int = 1) -> None:
        """Let the `on_call`-th call of `method` from the beginning raise OSError(`errno`)."""
        if not hasattr(type(self), method):
            raise AttributeError(f"Linux has no method {method}")
        self._failures[method, on_call] = errno

    def names(self) -> list[str]:
        """The names of the calls so far."""
        return [call.name for call in self.calls]

    def arguments_of(self, method: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of `method` so far."""
        return [call.arguments for call in self.calls if call.name == method]

    # ------------------------------------------------------------------ the machinery

    def _record(self, name: str, *arguments: Any, path: str | None = None) -> None:
        self.calls.append(Call(name, arguments))
        count = self._counts[name] = self._counts.get(name, 0) + 1
        if (number := self._failures.get((name, count))) is not None:
            raise OSError(number, os.strerror(number), path or name)

    def _new_fd(self, path: str) -> int:
        fd, self._next_fd = self._next_fd, self._next_fd + 1
        self.open_fds[fd] = path
        return fd

    def _check_open(self, fd: int) -> str:
        if fd == c.AT_FDCWD:
            return self.working_directory
        if fd not in self.open_fds:
            raise OSError(_errno.EBADF, os.strerror(_errno.EBADF), str(fd))
        return self.open_fds[fd]

    def _resolve(self, path: str, dir_fd: int | None) -> str:
        base = self.working_directory if dir_fd is None else self._check_open(dir_fd)
        return posixpath.normpath(posixpath.join(base, path))

    def _exists(self, path: str) -> bool:
        return path in self.files or path in self.directories or path in self._others()

    def _others(self) -> set[str]:
        return self.symlinks.keys() | self.devices.keys()

    def _claim(self, path: str) -> None:
        if self._exists(path):
            raise FileExistsError(_errno.EEXIST, os.strerror(_errno.EEXIST), path)

    # ------------------------------------------------------------------ namespaces and roots

    def unshare(self, flags: int) -> None:
        self._record("unshare", flags)

    def setns(self, fd: int, flags: int) -> None:
        self._record("setns", fd, flags)

    def pivot_root(self, new_root: str, put_old: str) -> None:
        self._record("pivot_root", new_root, put_old, path=new_root)

    def sethostname(self, name: str) -> None:
        self._record("sethostname", name)

    def setdomainname(self, name: str) -> None:
        self._record("setdomainname", name)

    # ------------------------------------------------------------------ mounts

    def mount(self, source: str, target: str, fstype: str, flags: int, data: str) -> None:
        self._record("mount", source, target, fstype, flags, data, path=target)

    def umount(self, target: str, flags: int) -> None:
        self._record("umount", target, flags, path=target)

    def fsopen(self, fstype: str) -> int:
        self._record("fsopen", fstype, path=fstype)
        return self._new_fd(f"fs:{fstype}")

    def fsconfig_string(self, fs_fd: int, key: str, value: str) -> None:
        self._record("fsconfig_string", fs_fd, key, value, path=f"{key}={value}")
        self._check_open(fs_fd)

    def fsconfig_flag(self, fs_fd: int, key: str) -> None:
        self._record("fsconfig_flag", fs_fd, key, path=key)
        self._check_open(fs_fd)
        if key.endswith("+") and not self.take_any_parameter:  # a list, which wants a value
            raise OSError(_errno.EINVAL, os.strerror(_errno.EINVAL), key)

    def fsconfig_create(self, fs_fd: int) -> None:
        self._record("fsconfig_create", fs_fd)
        self._check_open(fs_fd)

    def fsmount(self, fs_fd: int, attributes: int) -> int:
        self._record("fsmount", fs_fd, attributes)
        return self._new_fd(self._check_open(fs_fd))

    def open_tree(self, dir_fd: int, path: str, flags: int) -> int:
        self._record("open_tree", dir_fd, path, flags, path=path)
        return self._new_fd(self._resolve(path, dir_fd))

    def move_mount(self, mount_fd: int, target_fd: int) -> None:
        self._record("move_mount", mount_fd, target_fd)
        self._check_open(mount_fd)
        self._check_open(target_fd)

    def mount_setattr(
        self, fd: int, *, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool
    ) -> None:
        self._record("mount_setattr", fd, set_, clear, propagation, recursive)
        self._check_open(fd)

    # ------------------------------------------------------------------ files

    def openat2(self, dir_fd: int, path: str, flags: int, mode: int, resolve: int) -> int:
        self._record("openat2", dir_fd, path, flags, mode, resolve, path=path)
        base = self._check_open(dir_fd)
        inside = path.lstrip("/") if resolve & c.RESOLVE_IN_ROOT else path
        full = posixpath.normpath(posixpath.join(base, inside))
        if flags & os.O_CREAT and not self._exists(full):
            self.files[full] = b""
        return self._new_fd(full)

    def fstatfs_type(self, fd: int) -> int:
        self._record("fstatfs_type", fd)
        path = self._check_open(fd)
        inside = [top for top in self.filesystems if f"{path}/".startswith(f"{top}/")]
        return self.filesystems[max(inside, key=len)] if inside else c.TMPFS_MAGIC

    def mkdir(self, path: str, mode: int, dir_fd: int | None = None) -> None:
        self._record("mkdir", path, mode, dir_fd, path=path)
        full = self._resolve(path, dir_fd)
        self._claim(full)
        self.directories.add(full)

    def mknod(self, path: str, mode: int, device: int, dir_fd: int | None = None) -> None:
        self._record("mknod", path, mode, device, dir_fd, path=path)
        full = self._resolve(path, dir_fd)
        self._claim(full)
        self.devices[full] = (mode, device)

    def symlink(self, target: str, path: str, dir_fd: int | None = None) -> None:
        self._record("symlink", target, path, dir_fd, path=path)
        full = self._resolve(path, dir_fd)
        self._claim(full)
        self.symlinks[full] = target

    def rmdir(self, path: str, dir_fd: int | None = None) -> None:
        self._record("rmdir", path, dir_fd, path=path)
        full = self._resolve(path, dir_fd)
        if full not in self.directories:
            raise FileNotFoundError(_errno.ENOENT, os.strerror(_errno.ENOENT), path)
        if self._entries(full):
            raise OSError(_errno.ENOTEMPTY, os.strerror(_errno.ENOTEMPTY), path)
        self.directories.discard(full)

    def unlink(self, path: str, dir_fd: int | None = None) -> None:
        self._record("unlink", path, dir_fd, path=path)
        full = self._resolve(path, dir_fd)
        for kind in (self.files, self.symlinks, self.devices):
            if full in kind:
                del kind[full]
                return
        raise FileNotFoundError(_errno.ENOENT, os.strerror(_errno.ENOENT), path)

    def write_file(self, path: str, data: bytes, dir_fd: int | None = None) -> None:
        self._record("write_file", path, data, dir_fd, path=path)
        self.files[self._resolve(path, dir_fd)] = data

    def read_file(self, path: str, dir_fd: int | None = None) -> bytes:
        self._record("read_file", path, dir_fd, path=path)
        full = self._resolve(path, dir_fd)
        if full not in self.files:
            raise FileNotFoundError(_errno.ENOENT, os.strerror(_errno.ENOENT), path)
        return self.files[full]

    def subdirectories(self, path: str) -> list[str]:
        self._record("subdirectories", path, path=path)
        full = self._resolve(path, None)
        if full not in self.directories:
            raise FileNotFoundError(_errno.ENOENT, os.strerror(_errno.ENOENT), path)
        return sorted(
            name for name in self._entries(full) if posixpath.join(full, name) in self.directories
        )

    def _entries(self, directory: str) -> set[str]:
        everything = self.files.keys() | self.directories | self._others()
        return {
            posixpath.basename(path)
            for path in everything
            if path != directory and posixpath.dirname(path) == directory
        }

    def writable(self, path: str) -> bool:
        self._record("writable", path, path=path)
        return self._exists(path) and path not in self.read_only

    def chdir(self, path: str) -> None:
        self._record("chdir", path, path=path)
        self.working_directory = self._resolve(path, None)

    def fchdir(self, fd: int) -> None:
        self._record("fchdir", fd)
        self.working_directory = self._check_open(fd)

    def getcwd(self) -> str:
        self._record("getcwd")
        return self.working_directory

    def close(self, fd: int) -> None:
        self._record("close", fd)
        self._check_open(fd)
        self.open_fds.pop(fd, None)

    # ------------------------------------------------------------------ programs, processes

    def bpf_load(self, program_type: int, program: bytes) -> int:
        self._record("bpf_load", program_type, program)
        return self._new_fd("bpf-program")

    def bpf_attach(self, target_fd: int, program_fd: int, attach_type: int, flags: int) -> None:
        self._record("bpf_attach", target_fd, program_fd, attach_type, flags)
        self._check_open(target_fd)
        self._check_open(program_fd)

    def kill(self, pid: int, signal: int) -> None:
        self._record("kill", pid, signal)

    # ------------------------------------------------------------------ the process itself

    def clone_parent(self) -> int:
        self._record("clone_parent")
        return FIRST_PID

    def clone_into_cgroup(self, cgroup_fd: int, *, sibling: bool) -> int:
        self._record("clone_into_cgroup", self._check_open(cgroup_fd), sibling)
        return FIRST_PID

    def prctl(self, option: int, argument: int) -> None:
        self._record("prctl", option, argument)

    def set_process_name(self, name: str) -> None:
        self._record("set_process_name", name)

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        self._record("capset", effective, permitted, inheritable)

    def clear_ambient(self) -> None:
        self._record("clear_ambient")

    def seccomp_filter(self, program: bytes) -> None:
        self._record("seccomp_filter", program)

    def close_range(self, first: int, last: int) -> None:
        self._record("close_range", first, last)

    def join_session_keyring(self, name: str) -> None:
        self._record("join_session_keyring", name)

    def setrlimit(self, resource: int, soft: int, hard: int) -> None:
        self._record("setrlimit", resource, soft, hard)

    def setgroups(self, groups: list[int]) -> None:
        self._record("setgroups", tuple(groups))

    def setgid(self, gid: int) -> None:
        self._record("setgid", gid)

    def setuid(self, uid: int) -> None:
        self._record("setuid", uid)
