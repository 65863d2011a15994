"""The launcher: a small single-threaded process that forks a supervisor for each request.

The notebook's own process must neither fork (threads; 37 ms at 1 GiB resident) nor unshare, so it
starts this program once, by posix_spawn, and sends it requests over a socket pair: one frame with
the request, one descriptor with it: the socket that becomes the supervisor's first client.
It ends when its engine does; supervisors stay.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.cgroups import detect
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.network import operations as _network_operations
from dockmagic_runtime.sandbox import cgroup_operations as _cgroup_operations
from dockmagic_runtime.sandbox import devices as _devices
from dockmagic_runtime.sandbox import directories as _directories
from dockmagic_runtime.sandbox import mounts as _mounts
from dockmagic_runtime.sandbox import namespaces as _namespaces
from dockmagic_runtime.sandbox import scratch as _scratch
from dockmagic_runtime.sandbox import terminal as _terminal
from dockmagic_runtime.sandbox import user_mounts as _user_mounts
from dockmagic_runtime.sandbox.capabilities import resolve
from dockmagic_runtime.sandbox.seccomp_profile import default_program
from dockmagic_runtime.supervisor import tree
from dockmagic_runtime.supervisor.protocol import TREE, FrameReader
from dockmagic_runtime.supervisor.request import LaunchRequest
from dockmagic_runtime.supervisor.supervise import Supervisor

# imported so that their operations are known when a plan arrives
OPERATION_MODULES = (
    _network_operations,
    _cgroup_operations,
    _devices,
    _directories,
    _mounts,
    _namespaces,
    _scratch,
    _terminal,
    _user_mounts,
)


def main(fd: int) -> None:
    """Serve requests from the socket `fd` until the engine closes its end."""
    linux = Kernel()
    linux.prctl(c.PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the engine's business
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are not waited for
    os.umask(0o022)
    os.chdir("/")
    facts = host_facts(linux)
    gc.freeze()  # what lives now is shared with every supervisor: collect without touching it
    with socket.socket(fileno=fd) as engine:
        _serve(linux, engine, facts)


def host_facts(linux: Kernel) -> dict[str, Any]:
    """What every start would otherwise find out again: it is the same for all."""
    default_program(resolve((), (), privileged=False))
    return {"cgroups": detect(linux)}


def _serve(linux: Kernel, engine: socket.socket, facts: dict[str, Any]) -> None:
    reader = FrameReader()
    waiting: list[int] = []
    while True:
        data, fds, _, _ = socket.recv_fds(engine, 256 * 1024, 16)
        waiting += fds
        if not data:
            return
        for kind, payload in reader.feed(data):
            owner = waiting.pop(0)
            _fork_for(linux, engine, owner, waiting, kind, payload, facts)
            os.close(owner)
            engine.send(b"+")


def _fork_for(
    linux: Kernel,
    engine: socket.socket,
    owner: int,
    waiting: list[int],
    kind: int,
    payload: bytes,
    facts: dict[str, Any],
) -> None:
    if os.fork() == 0:
        try:
            engine.close()
            for fd in waiting:
                os.close(fd)
            if kind == TREE:
                tree.build(linux, socket.socket(fileno=owner), payload)
            else:
                _supervise(linux, owner, payload, facts)
        finally:
            os._exit(0)


def _supervise(linux: Kernel, owner: int, payload: bytes, facts: dict[str, Any]) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its container does, or by SIGKILL
    request = LaunchRequest.decode(payload)
    linux.set_process_name(f"dockmagic-{request.id[:5]}")
    Supervisor(linux, request, socket.socket(fileno=owner), facts).run()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
