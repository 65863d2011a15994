"""The real kernel behind `linux.interface.Linux`.

glibc 2.36 (Debian 12) has no wrappers for the mount API, openat2 or close_range, and Python 3.11
none for unshare, setns or pivot_root, so all of them go through syscall(2). `PyDLL` keeps the GIL:
these calls are short, and a thread switch between unshare and the next call would be wrong.
"""

from __future__ import annotations

import ctypes
import os
import resource as _resource
import signal
import struct

from dockmagic_runtime.linux import constants as c

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_MACHINES = {"x86_64": 0, "aarch64": 1, "arm64": 1}
_COLUMN = _MACHINES.get(os.uname().machine, 0)
_NUMBERS = {name: ctypes.c_long(numbers[_COLUMN]) for name, numbers in c.SYSCALLS.items()}
_SIBLING = ctypes.c_long(c.CLONE_PARENT | signal.SIGCHLD)

Argument = int | str | bytes | None | ctypes.Array[ctypes.c_char]


def _native(value: Argument) -> object:
    if isinstance(value, int):
        return ctypes.c_long(value)
    if isinstance(value, str):
        return os.fsencode(value)
    return value


def call(name: str, *arguments: Argument, path: str | None = None) -> int:
    """syscall(2) by name. Raises OSError; `path` becomes its filename, else the call's name."""
    result: int = _libc.syscall(_NUMBERS[name], *map(_native, arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", path)
    return result


def _fork(name: str, *arguments: object) -> int:
    """A fork with glibc out of the way: Python's own housekeeping around it is called by hand."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid: int = _libc.syscall(_NUMBERS[name], *arguments)
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        number = ctypes.get_errno()
        python.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(number, f"{name}: {os.strerror(number)}")
    return pid


class _Fprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Kernel:
    """`Linux` for real."""

    def unshare(self, flags: int) -> None:
        call("unshare", flags)

    def setns(self, fd: int, flags: int) -> None:
        call("setns", fd, flags)

    def pivot_root(self, new_root: str, put_old: str) -> None:
        call("pivot_root", new_root, put_old, path=new_root)

    def sethostname(self, name: str) -> None:
        call("sethostname", name, len(os.fsencode(name)), path=name)

    def setdomainname(self, name: str) -> None:
        call("setdomainname", name, len(os.fsencode(name)), path=name)

    def mount(self, source: str, target: str, fstype: str, flags: int, data: str) -> None:
        call("mount", source, target, fstype or None, flags, data or None, path=target)

    def umount(self, target: str, flags: int) -> None:
        call("umount2", target, flags, path=target)

    def fsopen(self, fstype: str) -> int:
        return call("fsopen", fstype, c.FSOPEN_CLOEXEC, path=fstype)

    def fsconfig_string(self, fs_fd: int, key: str, value: str) -> None:
        call("fsconfig", fs_fd, c.FSCONFIG_SET_STRING, key, value, 0, path=f"{key}={value}")

    def fsconfig_flag(self, fs_fd: int, key: str) -> None:
        call("fsconfig", fs_fd, c.FSCONFIG_SET_FLAG, key, None, 0, path=key)

    def fsconfig_create(self, fs_fd: int) -> None:
        call("fsconfig", fs_fd, c.FSCONFIG_CMD_CREATE, None, None, 0)

    def fsmount(self, fs_fd: int, attributes: int) -> int:
        return call("fsmount", fs_fd, c.FSMOUNT_CLOEXEC, attributes)

    def open_tree(self, dir_fd: int, path: str, flags: int) -> int:
        return call("open_tree", dir_fd, path, flags | c.OPEN_TREE_CLOEXEC, path=path)

    def move_mount(self, mount_fd: int, target_fd: int) -> None:
        flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
        call("move_mount", mount_fd, "", target_fd, "", flags)

    def mount_setattr(
        self, fd: int, *, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool
    ) -> None:
        attributes = struct.pack("=QQQQ", set_, clear, propagation, 0)
        flags = c.AT_EMPTY_PATH | (c.AT_RECURSIVE if recursive else 0)
        call("mount_setattr", fd, "", flags, attributes, len(attributes))

    def openat2(self, dir_fd: int, path: str, flags: int, mode: int, resolve: int) -> int:
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
        return call("openat2", dir_fd, path, how, len(how), path=path)

    def fstatfs_type(self, fd: int) -> int:
        # struct statfs begins with f_type, a long; 120 bytes on both architectures
        buffer = ctypes.create_string_buffer(256)
        if _libc.fstatfs(fd, buffer) < 0:
            raise OSError(ctypes.get_errno(), "fstatfs")
        return int(struct.unpack_from("=Q", buffer)[0]) & 0xFFFF_FFFF

    def mkdir(self, path: str, mode: int, dir_fd: int | None = None) -> None:
        os.mkdir(path, mode, dir_fd=dir_fd)

    def mknod(self, path: str, mode: int, device: int, dir_fd: int | None = None) -> None:
        os.mknod(path, mode, device, dir_fd=dir_fd)

    def symlink(self, target: str, path: str, dir_fd: int | None = None) -> None:
        os.symlink(target, path, dir_fd=dir_fd)

    def rmdir(self, path: str, dir_fd: int | None = None) -> None:
        os.rmdir(path, dir_fd=dir_fd)

    def unlink(self, path: str, dir_fd: int | None = None) -> None:
        os.unlink(path, dir_fd=dir_fd)

    def write_file(self, path: str, data: bytes, dir_fd: int | None = None) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            os.write(fd, data)  # control files take a value in one write or refuse it
        finally:
            os.close(fd)

    def read_file(self, path: str, dir_fd: int | None = None) -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
        with open(fd, "rb") as stream:
            return stream.read()

    def subdirectories(self, path: str) -> list[str]:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    def writable(self, path: str) -> bool:
        return os.access(path, os.W_OK, effective_ids=True)

    def chdir(self, path: str) -> None:
        os.chdir(path)

    def fchdir(self, fd: int) -> None:
        os.fchdir(fd)

    def getcwd(self) -> str:
        return os.getcwd()

    def close(self, fd: int) -> None:
        os.close(fd)

    def bpf_load(self, program_type: int, program: bytes) -> int:
        code = ctypes.create_string_buffer(program, len(program))
        licence = ctypes.create_string_buffer(b"Apache-2.0")
        pointers = (ctypes.addressof(code), ctypes.addressof(licence))
        # union bpf_attr: type, instructions, two pointers, then no log, no version, no flags
        attributes = struct.pack(
            "=IIQQIIQII", program_type, len(program) // 8, *pointers, *(0,) * 5
        )
        return call("bpf", c.BPF_PROG_LOAD, attributes, len(attributes))

    def bpf_attach(self, target_fd: int, program_fd: int, attach_type: int, flags: int) -> None:
        attributes = struct.pack("=IIII", target_fd, program_fd, attach_type, flags)
        call("bpf", c.BPF_PROG_ATTACH, attributes, len(attributes))

    def kill(self, pid: int, signal: int) -> None:
        os.kill(pid, signal)

    def clone_parent(self) -> int:
        """fork(2) whose child is a child of our own parent. For a process with one thread."""
        return _fork("clone", _SIBLING, None, None, None, None)

    def clone_into_cgroup(self, cgroup_fd: int, *, sibling: bool) -> int:
        """fork(2), or `clone_parent`, with the child created in a control group of version 2."""
        flags = c.CLONE_INTO_CGROUP | (c.CLONE_PARENT if sibling else 0)
        on_exit = 0 if sibling else signal.SIGCHLD  # a sibling's is ours, and must not be named
        # struct clone_args: flags, three pointers of threads, the signal, six more; the group last
        arguments = struct.pack("=11Q", flags, 0, 0, 0, on_exit, 0, 0, 0, 0, 0, cgroup_fd)
        return _fork("clone3", arguments, ctypes.c_long(len(arguments)))

    def prctl(self, option: int, argument: int) -> None:
        call("prctl", option, argument, 0, 0, 0)

    def set_process_name(self, name: str) -> None:
        call("prctl", c.PR_SET_NAME, name[:15], 0, 0, 0)

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        header = struct.pack("=Ii", 0x2008_0522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
        low, high = [
            [s >> shift & 0xFFFF_FFFF for s in (effective, permitted, inheritable)]
            for shift in (0, 32)
        ]
        call("capset", header, struct.pack("=6I", *low, *high))

    def clear_ambient(self) -> None:
        call("prctl", c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)

    def seccomp_filter(self, program: bytes) -> None:
        buffer = ctypes.create_string_buffer(program, len(program))
        fprog = _Fprog(len(program) // 8, ctypes.addressof(buffer))
        raw = ctypes.string_at(ctypes.addressof(fprog), ctypes.sizeof(fprog))
        call("seccomp", c.SECCOMP_SET_MODE_FILTER, 0, raw)

    def close_range(self, first: int, last: int) -> None:
        call("close_range", first, last, 0)

    def join_session_keyring(self, name: str) -> None:
        call("keyctl", c.KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0)

    def setrlimit(self, resource: int, soft: int, hard: int) -> None:
        _resource.setrlimit(resource, (soft, hard))

    def setgroups(self, groups: list[int]) -> None:
        os.setgroups(groups)

    def setgid(self, gid: int) -> None:
        os.setresgid(gid, gid, gid)

    def setuid(self, uid: int) -> None:
        os.setresuid(uid, uid, uid)
