"""The last steps of a child: from root in a prepared sandbox to the user's program.

The order is forced by the kernel: resource limits while we may still raise them; the seccomp filter
while CAP_SYS_ADMIN is still there (unless no_new_privs makes that needless); then all capabilities
go that the program does not get; groups before the uid, since changing that clears what is left.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import termios
from typing import Final

from dockmagic_runtime.errors import InvalidInput, StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.capabilities import bits, last_capability
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.sandbox import entering, reaper, users
from dockmagic_runtime.sandbox.plan import ProcessSpec
from dockmagic_runtime.sandbox.seccomp import program_for

_IGNORED_BY_SUPERVISORS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ALL: Final = (1 << 32) - 1  # the highest descriptor of close_range(2)
_CHANGE_USER: Final = bits(("CAP_SETUID", "CAP_SETGID"))
# of profiles of the user's own nothing is known
_ALLOWS_CLONE: Final = ("default", "unconfined")
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def become(linux: Linux, process: ProcessSpec, sync: int, *, enters: bool = False) -> None:
    """Turns this child into the program. Returns only by StartFailed or InvalidInput.

    Of all descriptors but the standard streams only `sync` is open at the end, close-on-exec.
    `enters`: the pid namespace that children of this one are created in has other processes
    already; see `sandbox.entering`.
    """
    with Root.at("/", linux) as root:
        identity = users.resolve(root, process.user, process.groups)
    environment = _environment(process, identity)
    _close_all_but(linux, sync)
    os.umask(0o022)
    _default_signals()
    _give_streams(identity.uid)
    for resource, soft, hard in process.rlimits:
        linux.setrlimit(resource, soft, hard)
    if process.no_new_privileges:
        linux.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
    if enters and process.seccomp not in _ALLOWS_CLONE:
        entering.enter(linux, sync)
    program = program_for(process.seccomp, frozenset(process.capabilities))
    if program and not process.no_new_privileges:
        linux.seccomp_filter(program)
    kept = bits(process.capabilities)
    _drop_capabilities(linux, kept)
    if enters and process.seccomp in _ALLOWS_CLONE:
        entering.enter(linux, sync)
    if process.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    _change_user(linux, kept, identity)
    # changing ids has cleared it
    linux.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL if process.tied else 0)
    _enter_directory(linux, process.cwd)
    if program and process.no_new_privileges:
        linux.seccomp_filter(program)
    if process.reaper:
        linux.prctl(c.PR_SET_CHILD_SUBREAPER, 1)  # in a pid namespace of others it is not pid 1
        linux.set_process_name("docker-init")
        reaper.stay(lambda: _execute(process.argv, environment))
    _execute(process.argv, environment)


def warm(process: ProcessSpec) -> None:
    """Computes before the fork what the child cannot compute inside the container.

    Raises InvalidInput for a seccomp profile that does not parse.
    """
    program_for(process.seccomp, frozenset(process.capabilities))
    last_capability()


def _close_all_but(linux: Linux, sync: int) -> None:
    """Closed here and not by the exec, for which a program like /proc/self/fd/7/bin/sh, or a script
    for such a program, is looked up while they are still open (CVE-2024-21626's kind)."""
    if sync > 3:
        linux.close_range(3, sync - 1)
    linux.close_range(sync + 1, _ALL)


def _environment(process: ProcessSpec, identity: users.Identity) -> dict[str, str]:
    environment = dict(entry.partition("=")[::2] for entry in process.env)
    environment.setdefault("PATH", DEFAULT_PATH)
    environment.setdefault("HOME", identity.home)
    return environment


def _default_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ, and an ignored signal stays ignored over exec."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, *_IGNORED_BY_SUPERVISORS):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _give_streams(uid: int) -> None:
    """Gives pipes to the program's user, which may then open them by name (a log file that is a
    link to /dev/stdout). As runc does."""
    for standard in (0, 1, 2):
        status = os.fstat(standard)
        if stat.S_ISFIFO(status.st_mode) and status.st_uid != uid:
            os.fchown(standard, uid, -1)


def _drop_capabilities(linux: Linux, kept: int) -> None:
    """All but `kept` and the two that `_change_user` needs."""
    for capability in range(last_capability() + 1):
        if not kept >> capability & 1:
            linux.prctl(c.PR_CAPBSET_DROP, capability)
    needed = kept | _CHANGE_USER
    linux.capset(needed, needed, 0)


def _change_user(linux: Linux, kept: int, identity: users.Identity) -> None:
    linux.setgroups(list(identity.groups))
    linux.setgid(identity.gid)
    linux.prctl(c.PR_SET_KEEPCAPS, 1)
    linux.setuid(identity.uid)
    linux.prctl(c.PR_SET_KEEPCAPS, 0)
    linux.capset(kept, kept, 0)  # nothing inheritable, nothing ambient (CVE-2022-29162)
    linux.clear_ambient()


def _enter_directory(linux: Linux, cwd: str) -> None:
    """Changes directory after the pivot, and checks with getcwd that no leaked descriptor has led
    outside (CVE-2024-21626)."""
    if not cwd.startswith("/"):
        raise StartFailed("Cwd must be an absolute path", exit_code=126)
    try:
        linux.chdir(cwd)
    except OSError as error:
        raise StartFailed(
            f'chdir to cwd ("{cwd}") set in config.json failed: {(error.strerror or "").lower()}',
            exit_code=126 if error.errno in (errno.EACCES, errno.ENOTDIR) else 127,
        ) from error
    if not linux.getcwd().startswith("/"):
        raise StartFailed(f"the working directory {cwd} is outside of the container", exit_code=126)


def _execute(argv: tuple[str, ...], environment: dict[str, str]) -> None:
    name = argv[0]
    try:
        os.execve(find_program(name, environment["PATH"]), argv, environment)
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        reason = (error.strerror or "").lower()
        raise StartFailed(f'exec: "{name}": {reason}', exit_code=code) from error


def find_program(name: str, search: str) -> str:
    """Where execvp would find `name`. Raises StartFailed: 127 not found, 126 not executable."""
    if not name:
        raise InvalidInput("the command is empty")
    if "/" in name:
        _check_executable(name, name)
        return name
    denied = ""
    for directory in search.split(":"):
        candidate = os.path.join(directory or ".", name)
        try:
            mode = os.stat(candidate).st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and os.access(candidate, os.X_OK):
            return candidate
        denied = candidate
    if denied:
        raise StartFailed(f'exec: "{name}": permission denied', exit_code=126)
    raise StartFailed(f'exec: "{name}": executable file not found in $PATH', exit_code=127)


def _check_executable(path: str, name: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise StartFailed(
            f'exec: "{name}": stat {path}: no such file or directory', exit_code=127
        ) from error
    except OSError as error:
        raise StartFailed(
            f'exec: "{name}": {(error.strerror or "").lower()}', exit_code=126
        ) from error
    if stat.S_ISDIR(mode):
        raise StartFailed(f'exec: "{name}": is a directory', exit_code=126)
    if not os.access(path, os.X_OK):
        raise StartFailed(f'exec: "{name}": permission denied', exit_code=126)
