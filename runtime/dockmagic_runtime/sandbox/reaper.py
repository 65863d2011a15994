"""Our own first process for `--init`, where the host has no program for it: pid 1 that reaps.

The child itself, after it has dropped its privileges, forks: the fork becomes the program, the
child stays to pass signals on and to wait for every orphan. It imports nothing any more, holds no
descriptor but the standard streams, and is not dumpable, so that the container's processes cannot
look into it.
"""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Callable
from typing import Final, NoReturn

# a process causes these itself; the stops of a terminal concern the program's group alone
_KEPT: Final = frozenset(
    (
        signal.SIGCHLD,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGABRT,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGTTIN,
        signal.SIGTTOU,
    )
)
_HIGHEST: Final = 1 << 16  # descriptor; close_range(2) does not look at each


def stay(become_program: Callable[[], None]) -> NoReturn:
    """Fork: `become_program` in the child, and here what a first process has to do.

    Ends with the program's exit code. Only the fork keeps the socket to the start process,
    which therefore still closes when the program runs.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    program = os.fork()
    if program == 0:
        os.setpgid(0, 0)
        _take_terminal()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        become_program()
    os.closerange(3, _HIGHEST)
    _serve(program)


def _take_terminal() -> None:
    """The program's group is the foreground one, else a terminal's Ctrl-C would be ours."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except (OSError, termios.error):
        pass  # standard input is no terminal


def _serve(program: int) -> NoReturn:
    waited_for = signal.valid_signals()
    while True:
        number = signal.sigwait(waited_for)
        if number == signal.SIGCHLD:
            _reap(program)
        elif number not in _KEPT:
            _pass_on(program, number)


def _reap(program: int) -> None:
    """Reaps every child that has ended; exits with the program's code if that is among them."""
    code = -1
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == program:
                ended = os.waitstatus_to_exitcode(status)
                code = ended if ended >= 0 else 128 - ended
    except ChildProcessError:
        pass  # none is left
    if code >= 0:
        os._exit(code)


def _pass_on(program: int, number: int) -> None:
    try:
        os.kill(program, number)
    except ProcessLookupError:
        pass  # it has ended: SIGCHLD is on its way
