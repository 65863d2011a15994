"""Starting a further process in a container that runs: `exec`."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import nullcontext
from typing import NoReturn

from msgspec import Struct

from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.capabilities import bits
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.sandbox import child, entering
from dockmagic_runtime.sandbox.cgroup_operations import CGROUP
from dockmagic_runtime.sandbox.devices import OOM_SCORE
from dockmagic_runtime.sandbox.operation import Context
from dockmagic_runtime.sandbox.plan import ProcessSpec
from dockmagic_runtime.sandbox.process import warm
from dockmagic_runtime.sandbox.terminal import open_pair
from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.error_message import rebuild_error
from dockmagic_runtime.supervisor.forks import children_in, fork
from dockmagic_runtime.supervisor.stdio import StdioPipes

_NAMESPACES = c.CLONE_NEWNS | c.CLONE_NEWUTS | c.CLONE_NEWIPC | c.CLONE_NEWNET | c.CLONE_NEWCGROUP
_SYS_PTRACE = bits(("CAP_SYS_PTRACE",))
_MANY = 64  # processes: to look at more takes longer than to be careful


class ExecProcess(Struct, frozen=True):
    pid: int
    pidfd: int


def enter(
    linux: Linux, init_pidfd: int, context: Context, process: ProcessSpec, pipes: StdioPipes
) -> ExecProcess:
    """Run `process` beside the container's init. Raises what kept it from starting."""
    warm(process)
    stays_outside = _may_be_traced(context.init_pid)
    group = CGROUP.require(context.slots)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def inside(is_member: bool) -> NoReturn:
        try:
            # dumpable off before the first namespace is entered: a process of the container could
            # otherwise open our memory or our executable through /proc (CVE-2019-5736)
            linux.prctl(c.PR_SET_DUMPABLE, 0)
            linux.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
            if not is_member:
                group.join(0)
            if process.oom_score_adj:  # while /proc is still the host's
                linux.write_file(OOM_SCORE, str(process.oom_score_adj).encode())
            linux.setns(init_pidfd, _NAMESPACES | (c.CLONE_NEWPID if stays_outside else 0))
            linux.join_session_keyring("_ses")
            if process.terminal:
                _open_terminal(linux, theirs)
            else:
                pipes.install_in_child()
        except BaseException as error:
            child.report(theirs, error)
            os._exit(1)
        child.run_process(linux, process, theirs, enters=stays_outside)

    with ours:
        with theirs, nullcontext() if stays_outside else children_in(linux, init_pidfd):
            pid = fork(linux, group.cgroup_path, inside)
        pipes.close_child()
        return _await_start(ours, pipes, pid, is_program=not stays_outside)


def _may_be_traced(init: int) -> bool:
    """Whether a process in the pid namespace of `init` can have CAP_SYS_PTRACE, by its bounding
    set: it was given by a flag, or shares the namespace with another container that has it.

    Then the process is prepared outside (`sandbox.entering`), which takes a millisecond.
    """
    proc = f"/proc/{init}/root/proc"
    try:
        pids = list(filter(str.isdigit, os.listdir(proc)))
        return len(pids) > _MANY or any(_can_trace(f"{proc}/{pid}/status") for pid in pids)
    except PermissionError:
        return True  # where we are root with few capabilities


def _can_trace(status: str) -> bool:
    try:
        with open(status, "rb") as stream:
            text = stream.read()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(int(text.partition(b"CapBnd:")[2].split(maxsplit=1)[0], 16) & _SYS_PTRACE)


def _await_start(
    sync: socket.socket, pipes: StdioPipes, pid: int, *, is_program: bool
) -> ExecProcess:
    """The process of the exec, once it has become the program. Raises what kept it from that.

    `pid` is the child, which becomes the program itself or clones another process that does.
    """
    pidfd = os.pidfd_open(pid) if is_program else -1
    try:
        while True:
            message, fds = receive_fds(sync, 64 * 1024, 1)
            kind, body = message[:1], message[1:]
            if kind == b"P":
                pipes.set_terminal(fds[0])
            elif kind == entering.STARTED:
                os.waitpid(pid, 0)
                pid = int(body)
                pidfd = os.pidfd_open(pid)
                sync.send(entering.GO)
            elif message:
                raise rebuild_error(lenient_json.decode(body))
            elif pidfd < 0:
                raise StartFailed("the child ended before it became the program", exit_code=125)
            else:
                return ExecProcess(pid, pidfd)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if pidfd >= 0:
            os.close(pidfd)
        raise


def _open_terminal(linux: Linux, sync: socket.socket) -> None:
    flags = os.O_PATH | os.O_DIRECTORY
    devpts = linux.openat2(c.AT_FDCWD, "/dev/pts", flags, 0, c.RESOLVE_NO_SYMLINKS)
    master, slave = open_pair(linux, devpts)
    socket.send_fds(sync, [b"P"], [master])
    for standard in (0, 1, 2):
        os.dup2(slave, standard)
    for fd in (master, slave, devpts):
        os.close(fd)
