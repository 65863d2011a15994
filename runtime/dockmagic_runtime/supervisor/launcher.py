"""The launcher: a small single-threaded process that keeps a pair of forks ready for its engine.

The notebook's own process must neither fork (threads; 37 ms at 1 GiB resident) nor unshare, so it
starts this program once, by posix_spawn, and sends it requests over a socket pair: one frame with
the request, one descriptor with it: the socket that becomes the supervisor's first client.

Strategy: requests are not read here. A spare supervisor waits already, with a spare start process
as its child, which reads the request: so a request is carried out without waiting for a fork, and
neither this process nor the supervisor touches (and so unshares) memory for it. The launcher ends
with its engine; supervisors stay.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.network import endpoint_operations as _endpoint_operations
from dockmagic_runtime.network import operations as _network_operations
from dockmagic_runtime.network.dns import operations as _resolving
from dockmagic_runtime.sandbox import cgroup_operations as _cgroup_operations
from dockmagic_runtime.sandbox import devices as _devices
from dockmagic_runtime.sandbox import directories as _directories
from dockmagic_runtime.sandbox import mounts as _mounts
from dockmagic_runtime.sandbox import namespaces as _namespaces
from dockmagic_runtime.sandbox import scratch as _scratch
from dockmagic_runtime.sandbox import terminal as _terminal
from dockmagic_runtime.sandbox import user_mounts as _user_mounts
from dockmagic_runtime.sandbox.capabilities import resolve
from dockmagic_runtime.sandbox.cgroup_operations import HOST_CGROUPS, EnterSupervisorCgroup
from dockmagic_runtime.sandbox.devices import OOM_SCORE
from dockmagic_runtime.sandbox.operation import Context
from dockmagic_runtime.sandbox.seccomp import default_program
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.supervisor.request_socket import RequestSocket
from dockmagic_runtime.supervisor.supervisor import Supervisor
from dockmagic_runtime.supervisor.warm_up import warm_up

# imported so that their operations are known when a plan arrives
OPERATION_MODULES = (
    _endpoint_operations,
    _network_operations,
    _resolving,
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
    """Keep spares on the socket `fd` until the engine closes its end."""
    linux = Kernel()
    linux.prctl(c.PR_SET_DUMPABLE, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # it ends when its engine does, and a supervisor when its container does
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reaper(os.getpid()))
    os.umask(0o022)
    os.chdir("/")
    facts = host_facts(linux)
    _forget_score(linux)
    _leave_service(linux, os.environ.get("DOCKMAGIC_CGROUP", ""), facts)
    alive, _ours = os.pipe2(os.O_CLOEXEC)  # spares see its other end close when we end
    warm_up(linux, facts)
    gc.collect()
    _FILLER.extend(_gap_fillers())
    gc.disable()  # a supervisor enables it again when it has work
    gc.freeze()  # what lives now is shared with every supervisor: never to be looked at
    while _keep_spare(linux, RequestSocket(fd, alive), _ours, facts):
        pass


def _reaper(launcher: int) -> Callable[[int, Any], None]:
    """Supervisors inherit it, and wait for their children themselves. Resetting it there would
    touch more of the memory that they share with us."""

    def reap(_number: int, _frame: Any) -> None:
        try:
            while os.getpid() == launcher and os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass  # that was the last

    return reap


# CPython's Objects/obmalloc.c
_POOL: Final = 16 * 1024
_POOL_HEADER: Final = 48
_LARGEST: Final = 512


_FILLER: Final[list[object]] = []


def _gap_fillers() -> list[object]:
    """Objects that fill the gaps which imports have left among small objects, to be kept.

    What a supervisor allocates then lies together in fresh pools, and not on pages that it would
    have to unshare for it. Where memory is laid out otherwise this does nothing but waste some.
    """
    filler: list[object] = []
    for size in range(16, _LARGEST + 1, 16):
        for _ in range(4 * _POOL // size):
            small = _of_size(size)
            if id(small) % _POOL == _POOL_HEADER:
                break  # the first of a fresh pool
            filler.append(small)
    return filler


def _of_size(size: int) -> object:
    if size == 16:
        return object()
    if size == 32:
        return float(size)
    return bytes(size - b"".__sizeof__())


def host_facts(linux: Kernel) -> Slots:
    """What every start would otherwise find out again: it is the same for all."""
    default_program(resolve((), (), privileged=False))
    facts: Slots = {}
    HOST_CGROUPS.put(facts, detect(linux))
    return facts


def _forget_score(linux: Kernel) -> None:
    """Containers begin at 0, as with Docker, however the notebook's own service is protected from
    the out-of-memory killer or offered to it."""
    try:
        if linux.read_file(OOM_SCORE).strip() != b"0":
            linux.write_file(OOM_SCORE, b"0")
    except PermissionError:
        pass  # without CAP_SYS_RESOURCE no score can be lowered


def _leave_service(linux: Kernel, parent: str, facts: Slots) -> None:
    """Move this launcher out of the service that started the engine, and so all supervisors that
    it will fork: ending the service does not end containers that were started with -d."""
    if not parent:
        return
    try:
        EnterSupervisorCgroup(parent).execute(Context(linux, slots=facts))
    except (OSError, DockmagicError):
        pass  # the start has the same operation in its plan, and says what is wrong


def _keep_spare(linux: Kernel, requests: RequestSocket, ours: int, facts: Slots) -> bool:
    """Fork a supervisor and wait until it has work; False when it ends without.

    Then the engine has closed its end, or the spare was killed, possibly with half a request read.
    So this launcher ends as well, and the engine, which has received no acknowledgement, sends its
    request to a new one.
    """
    taken, acknowledge = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        try:
            for fd in (ours, taken):
                os.close(fd)
            os.setsid()
            Supervisor(linux, requests, acknowledge, facts).run()
        finally:
            os._exit(0)
    os.close(acknowledge)
    is_taken = os.read(taken, 1)
    os.close(taken)
    return bool(is_taken)
