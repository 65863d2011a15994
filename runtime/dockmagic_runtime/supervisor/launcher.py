"""The launcher: a small single-threaded process that forks supervisors for the engines of an area.

A notebook's own process must neither fork (threads; 37 ms at 1 GiB resident) nor unshare, and a
command that ends leaves its supervisor alone with all its memory (11 MiB). So the first engine of
an area starts this program (`launcher_start`), and all engines send it requests: one frame with the
request, and with it one descriptor: the socket that becomes the supervisor's first client.

Strategy: requests are not read here. A spare supervisor waits already, with a spare start process
as its child, which accepts the connection: so a request is carried out without waiting for a fork,
and neither this process nor the supervisor touches (and so unshares) memory for it. A spare that is
not wanted for a while ends, and the next request waits for a fork. The launcher ends when it has no
users left, or a while after if a command has started it; supervisors do not depend on it.
"""

from __future__ import annotations

import contextlib
import gc
import json as _json
import os
import select
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
from dockmagic_runtime.network.nftables import conntrack as _conntrack
from dockmagic_runtime.network.port_proxy import proxy as _proxy
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
from dockmagic_runtime.store import locks
from dockmagic_runtime.supervisor.launcher_start import LISTENER, USERS
from dockmagic_runtime.supervisor.pymalloc import fill_pools
from dockmagic_runtime.supervisor.request_socket import RequestSocket
from dockmagic_runtime.supervisor.supervisor import Supervisor
from dockmagic_runtime.supervisor.warm_up import warm_up

_SPARE_PATIENCE: Final = 2000  # milliseconds

# imported so that a child inside a container, which can import nothing, can write an error message
# with a path that is no UTF-8
CHILDS_MODULES = (_json,)
# imported by operations when they are executed: here they are shared by all supervisors
OPERATIONS_NEED = (_conntrack, _proxy)
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


def main() -> None:
    """Fork supervisors until no engine and no supervisor needs this launcher."""
    linux = Kernel()
    linux.prctl(c.PR_SET_DUMPABLE, 0)
    with open(f"{os.environ['DOCKMAGIC_LAUNCHER']}/pid", "w", encoding="ascii") as stream:
        stream.write(str(os.getpid()))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # it ends with its users, and a supervisor with its container
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reaper(os.getpid()))
    os.umask(0o022)
    os.chdir("/")
    for fd in (LISTENER, USERS):
        os.set_inheritable(fd, False)
    facts = host_facts(linux)
    _forget_score(linux)
    _leave_service(linux, os.environ.get("DOCKMAGIC_CGROUP", ""), facts)
    warm_up(linux, facts)
    gc.collect()
    fill_pools()
    gc.disable()  # a supervisor enables it again when it has work
    gc.freeze()  # what lives now is shared with every supervisor: never to be looked at
    Launcher(linux, facts, float(os.environ.get("DOCKMAGIC_LINGER", "0"))).serve()


class Launcher:
    """Keeps a spare supervisor. `serve` returns when there are no users left."""

    def __init__(self, linux: Kernel, facts: Slots, linger: float) -> None:
        self._linux = linux
        self._facts = facts
        self._linger = linger

    def serve(self) -> None:
        while self._wait_for_client():
            while self._fork_spare():
                pass

    def _wait_for_client(self) -> bool:
        """Without a spare: True when a client has connected, False when there are no users."""
        events = select.poll()
        events.register(LISTENER, select.POLLIN)
        events.register(USERS, 0)
        while True:
            if LISTENER in dict(events.poll()) or self._awaits_client():
                return True
            if self._leave():
                return False

    def _awaits_client(self) -> bool:
        """Without users: whether a client connects within the time to linger. A byte in the FIFO
        ends that: the area is being removed."""
        if not self._linger:
            return False
        events = select.poll()
        events.register(LISTENER, select.POLLIN)
        events.register(USERS, select.POLLIN)
        # open for writing here too, or the poll would return at once: there is no other writer
        user = os.open(f"/proc/self/fd/{USERS}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            ready = dict(events.poll(self._linger * 1000))
        finally:
            os.close(user)
        if USERS in ready:
            os.read(USERS, 64)
            self._linger = 0.0  # for good: the writer of the byte is a user until it closes
        return LISTENER in ready

    def _fork_spare(self) -> bool:
        """Fork a supervisor and wait; whether it has taken a request."""
        wanted, ours = os.pipe2(os.O_CLOEXEC)
        taken, acknowledge = os.pipe2(os.O_CLOEXEC)
        if os.fork() == 0:
            try:
                for fd in (ours, taken):
                    os.close(fd)
                os.setsid()
                requests = RequestSocket(LISTENER, USERS, wanted)
                Supervisor(self._linux, requests, acknowledge, self._facts).run()
            finally:
                os._exit(0)
        os.close(wanted)
        os.close(acknowledge)
        return self._wait_for_spare(taken, ours)

    def _wait_for_spare(self, taken: int, ours: int) -> bool:
        """Dismiss the spare when there are no users, or no request for a while. It may take a
        request in the same moment: `taken` says what it did. It reaches its end, too, when the
        spare was killed: possibly with half a request read, which then was not acknowledged, so
        that the engine sends it again."""
        events = select.poll()
        events.register(taken, select.POLLIN)
        events.register(USERS, 0)
        events.poll(_SPARE_PATIENCE)
        os.close(ours)
        has_taken = os.read(taken, 1) != b""
        os.close(taken)
        return has_taken

    def _leave(self) -> bool:
        """Remove the launcher's files, unless an engine has become a user meanwhile."""
        directory = os.environ["DOCKMAGIC_LAUNCHER"]
        with contextlib.ExitStack() as lock:
            try:
                lock.enter_context(locks.held(os.environ["DOCKMAGIC_LOCK"]))
            except OSError:
                pass  # the area was removed, or its disk is read-only
            users = select.poll()
            users.register(USERS, 0)
            if not users.poll(0):
                return False
            for name in os.listdir(directory):
                os.unlink(f"{directory}/{name}")
            os.rmdir(directory)
            with contextlib.suppress(OSError):  # launchers of other versions are there
                os.rmdir(os.path.dirname(directory))
        return True


def _reaper(launcher: int) -> Callable[[int, Any], None]:
    """Reaps supervisors. They inherit the handler, and wait for their children themselves: to reset
    it there would unshare more of the memory of the launcher."""

    def reap(_number: int, _frame: Any) -> None:
        try:
            while os.getpid() == launcher and os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass  # that was the last

    return reap


def host_facts(linux: Kernel) -> Slots:
    """What is the same for all starts, computed once."""
    default_program(resolve((), (), privileged=False))
    facts: Slots = {}
    HOST_CGROUPS.put(facts, detect(linux))
    return facts


def _forget_score(linux: Kernel) -> None:
    """The score of containers begins at 0, as with Docker, whatever that of the engine's service
    is."""
    try:
        if linux.read_file(OOM_SCORE).strip() != b"0":
            linux.write_file(OOM_SCORE, b"0")
    except PermissionError:
        pass  # without CAP_SYS_RESOURCE no score can be lowered


def _leave_service(linux: Kernel, parent: str, facts: Slots) -> None:
    """Move this launcher, and so all supervisors that it will fork, out of the service that started
    the engine: ending the service does not end containers that were started with -d."""
    if not parent:
        return
    try:
        EnterSupervisorCgroup(parent).execute(Context(linux, slots=facts))
    except (OSError, DockmagicError):
        pass  # the start has the same operation in its plan, and says what is wrong
