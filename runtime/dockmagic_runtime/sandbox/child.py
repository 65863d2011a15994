"""The child: executes the `inside` list of a plan, then becomes the container's first process.

It reports to the start process over a SOCK_SEQPACKET pair, one byte of kind and a JSON body:
`N` the network namespace (with descriptors), `P` the terminal's master (with a descriptor),
`T` how long each operation took, `F` the pid of the program's process where that is another
(answered with `G`), `E` why it failed. The socket is close-on-exec: when it closes
without an `E`, the program runs.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import NoReturn

from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.sandbox.operation import Context, Operation
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.sandbox.process import become

Timing = tuple[float, float]


def run(
    linux: Linux, plan: SandboxPlan, sync: socket.socket, context: Context, pid_namespace: int
) -> NoReturn:
    """Called right after the fork, with the standard streams in place. Ends in exec or _exit.

    `context` is the child's copy of the start process's: it has the cgroup to join.
    `pid_namespace` is a pidfd of a process in the namespace to enter; -1 if the child is in a new
    one.
    """
    try:
        # processes of the container may see this one from here on: it must not be readable
        linux.prctl(c.PR_SET_DUMPABLE, 0)
        linux.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
        context.sync = sync
        if pid_namespace >= 0:
            # for the program's process, and for the /proc that is mounted; this one stays outside
            linux.setns(pid_namespace, c.CLONE_NEWPID)
        os.umask(0)  # devices and directories get exactly the modes that operations give
        trace = execute_all(plan.inside, context)
        sync.send(b"T" + lenient_json.encode(trace))
        become(linux, plan.process, sync.fileno(), enters=pid_namespace >= 0)
    except BaseException as error:
        report(sync, error)
    os._exit(1)


def run_process(
    linux: Linux, process: ProcessSpec, sync: socket.socket, *, enters: bool
) -> NoReturn:
    """The last step of an exec's child, which has entered a container that runs; `enters` as for
    `become`."""
    try:
        become(linux, process, sync.fileno(), enters=enters)
    except BaseException as error:
        report(sync, error)
    os._exit(1)


def execute_all(operations: tuple[Operation, ...], context: Context) -> list[Timing]:
    """Executes them in order; returns when each began and the seconds it took.

    The clock is the machine's, the same for all processes.

    Raises:
        StartFailed: the kernel refused; the message names the operation.
    """
    times = []
    for operation in operations:
        began = time.perf_counter()
        try:
            operation.execute(context)
        except OSError as error:
            raise StartFailed(
                f"could not {operation.describe()}: {error.strerror}"
                + (f" ({error.filename})" if error.filename else "")
            ) from error
        times.append((began, time.perf_counter() - began))
    return times


def report(sync: socket.socket, error: BaseException) -> None:
    """Sends the start process one message: why no program will run."""
    sync.send(b"E" + lenient_json.encode(describe_error(error)))


def describe_error(error: BaseException) -> dict[str, object]:
    """An error as JSON: enough to raise the same kind again on the other side."""
    if isinstance(error, DockmagicError):
        return {
            "kind": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "exit_code": error.exit_code,
        }
    return {
        "kind": "StartFailed",
        "message": str(error) or type(error).__name__,
        "hint": "",
        "exit_code": 125,
    }
