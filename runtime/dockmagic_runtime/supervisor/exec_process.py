"""Starting a further process in a container that runs: `exec`."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import NoReturn

from msgspec import Struct

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox import child
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


class ExecProcess(Struct, frozen=True):
    pid: int
    pidfd: int


def enter(
    linux: Linux, init_pidfd: int, context: Context, process: ProcessSpec, pipes: StdioPipes
) -> ExecProcess:
    """Run `process` beside the container's init. Raises what kept it from starting."""
    warm(process)
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
            linux.setns(init_pidfd, _NAMESPACES)
            linux.join_session_keyring("_ses")
            if process.terminal:
                _open_terminal(linux, theirs)
            else:
                pipes.install_in_child()
        except BaseException as error:
            child.report(theirs, error)
            os._exit(1)
        child.run_process(linux, process, theirs)

    with ours:
        with theirs, children_in(linux, init_pidfd):
            pid = fork(linux, group.cgroup_path, inside)
        pipes.close_child()
        pidfd = os.pidfd_open(pid)
        try:
            _await_start(ours, pipes)
        except BaseException:
            os.waitpid(pid, 0)
            os.close(pidfd)
            raise
    return ExecProcess(pid, pidfd)


def _await_start(sync: socket.socket, pipes: StdioPipes) -> None:
    while True:
        message, fds = receive_fds(sync, 64 * 1024, 1)
        if not message:
            return
        if message[:1] == b"P":
            pipes.set_terminal(fds[0])
        else:
            raise rebuild_error(json.loads(message[1:]))


def _open_terminal(linux: Linux, sync: socket.socket) -> None:
    flags = os.O_PATH | os.O_DIRECTORY
    devpts = linux.openat2(c.AT_FDCWD, "/dev/pts", flags, 0, c.RESOLVE_NO_SYMLINKS)
    master, slave = open_pair(linux, devpts)
    socket.send_fds(sync, [b"P"], [master])
    for standard in (0, 1, 2):
        os.dup2(slave, standard)
    for fd in (master, slave, devpts):
        os.close(fd)
