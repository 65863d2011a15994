"""The launcher of an area: the first engine starts it, all engines of the area share it.

Its directory holds a socket for requests and a FIFO, `users`. Every process that needs the launcher
keeps the FIFO open for writing: engines, and the supervisors that the launcher has forked. When the
last writer has closed it the launcher ends (see `launcher`). So it needs no management: it is there
while a container runs or an engine is open, and a launcher that was killed is replaced at the next
request.

A container inherits much from the launcher: resource limits, capabilities, CPU affinity, and the
namespaces it does not leave. An engine therefore only shares a launcher that it would have started
itself in the same way: the name of the directory is a digest of all that (`_inherited`), and of the
code (`_code`), so that after an upgrade a new launcher is started beside the old one.

A command line calls `prepare` first thing, and the launcher starts while the command loads its own
modules. Therefore this module imports nothing that takes time. Commands come one after the other:
a launcher that a command has started stays for `LINGER` after its last user, and the next command
need not start one (50 ms of a processor). A byte in `users` ends that earlier (`end_all`).
"""

from __future__ import annotations

import binascii
import fcntl
import os
import resource
import select
import socket
import sys
import time
from itertools import islice
from typing import Final

from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.executable import protect
from dockmagic_runtime.store import host_names, locks

LINGER: Final = 10.0  # seconds
_PATIENCE: Final = 2.0  # seconds for a launcher to end
_ATTEMPTS: Final = 3
_BACKLOG: Final = 128
_LIMITS: Final = 16  # RLIM_NLIMITS
_TO_WRITE: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
# the descriptors that the launcher is started with
LISTENER: Final = 3
USERS: Final = 4
# -I and -S: no user site, no environment, no .pth files and their hooks: 12 ms instead of 60
_PROGRAM: Final = (
    "import os, sys; sys.path += os.environ['DOCKMAGIC_PACKAGES'].split(os.pathsep);"
    "from dockmagic_runtime.supervisor.launcher_main import main; main()"
)
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ROOMS: Final = (
    "",
    "cgroups",
    "linux",
    "model",
    "network",
    "network/dns",
    "network/ipam",
    "network/nftables",
    "network/port_proxy",
    "sandbox",
    "store",
    "supervisor",
)
_STATUS: Final = (b"Uid", b"Gid", b"Groups", b"Cap", b"NoNewPrivs", b"Seccomp", b"Cpus_", b"Mems_")


class LauncherStart:
    """Connects to the launcher of the area at `root`, and starts it if it is not there.

    `run` is the area's run directory. Supervisors live in a control group below `cgroup_parent`.
    """

    def __init__(self, root: str, run: str, cgroup_parent: str, *, linger: float = 0.0) -> None:
        self._lock = f"{root}/launcher.lock"
        self._cgroup_parent = cgroup_parent
        self._linger = linger
        self._users = -1
        self._started = 0  # a child of this process
        self.directory = f"{run}.launcher/{_key()}"

    def connect(self) -> socket.socket:
        """A connection for one request. Raises StartFailed."""
        for _ in range(_ATTEMPTS):
            connection = self._try()
            if connection is not None:
                return connection
            self.start()
        raise failed()

    def start(self) -> None:
        """Start the launcher, unless it is there. From now on this process is a user of it."""
        with locks.held(self._lock):
            connection = self._try()
            if connection is None:
                self._start()
            else:
                connection.close()

    def _try(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self._users < 0:
                self._users = os.open(f"{self.directory}/users", _TO_WRITE)
            connection.connect(f"{self.directory}/sock")
        except OSError:  # no launcher, one that was killed, or one that is just ending
            connection.close()
            self.release()
            return None
        return connection

    def _start(self) -> None:
        """The socket listens before the launcher does, so that a request can be sent at once."""
        self.reap()
        for directory in (os.path.dirname(self.directory), self.directory):
            # not makedirs: the umask decides the mode of what is above
            os.makedirs(directory, 0o700, exist_ok=True)
        for name in os.listdir(self.directory):
            os.unlink(f"{self.directory}/{name}")  # of a launcher that was killed
        os.mkfifo(f"{self.directory}/users", 0o600)
        users = os.open(f"{self.directory}/users", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._users = os.open(f"{self.directory}/users", _TO_WRITE)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(f"{self.directory}/sock")
                listener.listen(_BACKLOG)
                self._started = self._spawn(listener.fileno(), users)
        finally:
            os.close(users)

    def _spawn(self, listener: int, users: int) -> int:
        # in the environment, because all users can read the arguments of a process, and a container
        # with --init has a fork of this one inside
        environment = {
            "LC_ALL": "C.UTF-8",
            "DOCKMAGIC_PACKAGES": _packages(),
            "DOCKMAGIC_CGROUP": self._cgroup_parent,
            "DOCKMAGIC_LAUNCHER": self.directory,
            "DOCKMAGIC_LOCK": self._lock,
            "DOCKMAGIC_LINGER": str(self._linger),
        }
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        # neither may have a number that the other will have
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (listener, users)]
        executable = protect(Kernel(), sys.executable)
        try:
            actions = [(os.POSIX_SPAWN_DUP2, null, standard) for standard in (0, 1, 2)]
            actions += [
                (os.POSIX_SPAWN_DUP2, fd, number)
                for fd, number in zip(copies, (LISTENER, USERS), strict=True)
            ]
            return os.posix_spawn(
                f"/proc/self/fd/{executable}",
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
            )
        finally:
            for fd in (null, executable, *copies):
                os.close(fd)

    def release(self) -> None:
        """This process needs the launcher no longer: without other users it ends."""
        self.reap()
        users, self._users = self._users, -1
        if users >= 0:
            os.close(users)

    def end_all(self) -> None:
        """The launchers of this area, of whatever key, end as soon as they have no users. Waits
        for those that have none now."""
        self.release()
        parent = os.path.dirname(self.directory)
        try:
            names = os.listdir(parent)
        except FileNotFoundError:
            return  # there is none, or the last has just ended
        ending = [pidfd for name in names if (pidfd := _ended_soon(f"{parent}/{name}")) >= 0]
        until = time.monotonic() + _PATIENCE
        for pidfd in ending:
            events = select.poll()
            events.register(pidfd, select.POLLIN)
            events.poll(max(until - time.monotonic(), 0) * 1000)
            os.close(pidfd)

    def reap(self) -> None:
        """Of the process that was started only a fork goes on (see `launcher_main`)."""
        if self._started and os.waitpid(self._started, os.WNOHANG)[0]:
            self._started = 0

    @property
    def pid(self) -> int:
        """Of the launcher; 0 when there is none."""
        return _pid(self.directory)


def _pid(directory: str) -> int:
    try:
        with open(f"{directory}/pid", encoding="ascii") as stream:
            return int(stream.read() or 0)
    except FileNotFoundError:
        return 0


def _ended_soon(directory: str) -> int:
    """A descriptor of the launcher process there, which is asked to end; -1 if there is none."""
    try:
        users = os.open(f"{directory}/users", _TO_WRITE)
    except OSError:
        return -1  # it has just ended, or was killed
    try:
        os.write(users, b".")
        return os.pidfd_open(_pid(directory) or -1)
    except OSError:
        return -1
    finally:
        os.close(users)


_prepared: dict[str, LauncherStart] = {}


def prepare(root: str | None = None) -> None:
    """Start the launcher of an area that is in use, while this process loads what it will send.

    Does nothing where that is impossible: the first request reports the reason.
    """
    root = host_names.default_root() if root is None else host_names.absolute(root)
    suffix = host_names.suffix(root)
    try:
        launcher = LauncherStart(
            root,
            host_names.run_directory(suffix),
            host_names.cgroup_parent(suffix),
            linger=LINGER,
        )
        launcher.start()
    except OSError:
        return
    _prepared[launcher.directory] = launcher


def launcher_of(root: str, run: str, cgroup_parent: str) -> LauncherStart:
    """The one that this process has prepared, else another."""
    launcher = LauncherStart(root, run, cgroup_parent)
    return _prepared.pop(launcher.directory, launcher)


def failed() -> StartFailed:
    return StartFailed(
        "the launcher process ends as soon as it starts", hint=f"is {sys.executable} able to run?"
    )


def _key() -> str:
    """Engines with the same key share a launcher."""
    data = repr((_code(), _inherited())).encode()
    return f"{binascii.crc32(data):08x}{binascii.crc32(data[::-1]):08x}"


def _code() -> tuple[object, ...]:
    """Of what the launcher executes. An installer that replaces a file changes its directory.

    A file that an editor writes in place does not: to look at each of 200 files would cost every
    command half a millisecond. After such an edit, containers that run have to be ended first.
    """
    changed = tuple(os.stat(f"{_PACKAGE}/{room}").st_mtime_ns for room in _ROOMS)
    return (sys.executable, sys.version, _PACKAGE, *changed)


def _inherited() -> tuple[object, ...]:
    """What a process that the launcher forks has from the process that started the launcher."""
    root = os.stat("/")
    namespaces = [os.stat(f"/proc/self/ns/{name}").st_ino for name in os.listdir("/proc/self/ns")]
    with open("/proc/self/status", "rb") as stream:
        status = [line for line in stream if line.startswith(_STATUS)]
    return (
        (root.st_dev, root.st_ino),
        tuple(sorted(namespaces)),
        tuple(status),
        tuple(resource.getrlimit(number) for number in range(_LIMITS)),
        (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)),
    )


def _packages() -> str:
    """Where this package is, and the only other one that the launcher imports: msgspec, which is
    not imported for this."""
    others = (path for path in sys.path if os.path.isfile(f"{path}/msgspec/__init__.py"))
    return os.pathsep.join(dict.fromkeys((os.path.dirname(_PACKAGE), *islice(others, 1))))
