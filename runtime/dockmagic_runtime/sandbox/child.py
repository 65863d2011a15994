"""The child: carries out the inside of a plan, then becomes the container's first process.

It talks to its supervisor over a SOCK_SEQPACKET pair, one byte of kind and a JSON body:
`N` the network namespace (with descriptors), `P` the terminal's master (with a descriptor),
`T` how long each operation took, `E` why it failed. The socket is close-on-exec: its end without
an `E` means that the program runs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import NoReturn

from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.sandbox.operation import Context, Operation
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.sandbox.process import become

Timing = tuple[float, float]


def run(linux: Linux, plan: SandboxPlan, sync: socket.socket, context: Context) -> NoReturn:
    """Called right after the fork, with the standard streams in place. Ends in exec or _exit.

    `context` is the child's copy of the supervisor's: it knows the cgroup to join.
    """
    try:
        # from here on the container's processes may see this one: it must not be readable
        linux.prctl(c.PR_SET_DUMPABLE, 0)
        linux.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
        context.sync = sync
        os.umask(0)  # the modes of devices and directories are meant as they are written
        trace = execute_all(plan.inside, context)
        sync.send(b"T" + json.dumps(trace).encode())
        become(linux, Root.at("/", linux), plan.process)
    except BaseException as error:
        report(sync, error)
    os._exit(1)


def run_process(linux: Linux, process: ProcessSpec, sync: socket.socket) -> NoReturn:
    """The end of an exec's child, which has entered a container that already runs."""
    try:
        become(linux, Root.at("/", linux), process)
    except BaseException as error:
        report(sync, error)
    os._exit(1)


def execute_all(operations: tuple[Operation, ...], context: Context) -> list[Timing]:
    """Carry them out in order; when each began and the seconds it took. A failure names its
    operation. The clock is the machine's, the same for all processes."""
    times = []
    for one in operations:
        began = time.perf_counter()
        try:
            one.execute(context)
        except OSError as error:
            raise StartFailed(
                f"could not {one.describe()}: {error.strerror}"
                + (f" ({error.filename})" if error.filename else "")
            ) from error
        times.append((began, time.perf_counter() - began))
    return times


def report(sync: socket.socket, error: BaseException) -> None:
    """Tell the supervisor in one message why there will be no program."""
    sync.send(b"E" + json.dumps(describe_error(error)).encode())


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
