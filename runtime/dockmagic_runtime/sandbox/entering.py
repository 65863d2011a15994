"""Entering a pid namespace that has other processes: an exec, or `--pid container:NAME`.

From the moment that a process is in the namespace, those others see it. One with CAP_SYS_PTRACE can
open /proc/PID/root, cwd and fd of it, and take it over with the capabilities that it has just then:
a process that enters first and prepares itself afterwards gives away the host. So the child stays
outside while it has the host's directory, our descriptors and our capabilities, and clones the
program's process, into the namespace that it has set for its children, when nothing is left to
gain. What remains are CAP_SETUID and CAP_SETGID until the user is changed, because a child of
another user would count against that user's limit of processes.

Under a seccomp profile of the user's own, which may forbid clone(2), the process is cloned before
the filter is installed, which needs CAP_SYS_ADMIN.
"""

from __future__ import annotations

import os
import signal
import socket

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux

STARTED = b"F"  # with the pid
GO = b"G"


def enter(linux: Linux, sync: int) -> None:
    """Returns in a child of this process's parent; this process ends.

    The new process waits until the other end of `sync` has taken note of it: if this one were
    killed in between, no other would know of it.
    """
    pid = linux.clone_parent()
    with socket.socket(fileno=os.dup(sync)) as channel:
        if pid:
            channel.send(STARTED + str(pid).encode())
            os._exit(0)
        os.setsid()
        linux.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
        if channel.recv(1) != GO:
            os._exit(1)
