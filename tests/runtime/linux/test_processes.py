"""Processes that are not our children."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from dockmagic_runtime.linux import processes


@pytest.fixture
def sleeper() -> Iterator[int]:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        pass  # the test has


def test_a_process_is_told_from_a_later_one_with_its_number(sleeper: int) -> None:
    started = processes.start_of(sleeper)
    fd = processes.open_process(sleeper, started)
    assert fd is not None
    os.close(fd)
    assert processes.open_process(sleeper, started + 1) is None


def test_who_has_ended_is_not_opened_reaped_or_not(sleeper: int) -> None:
    started = processes.start_of(sleeper)
    os.kill(sleeper, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper, os.WEXITED | os.WNOWAIT)
    assert processes.start_of(sleeper) == started  # a zombie
    assert processes.open_process(sleeper, started) is None
    os.waitpid(sleeper, 0)
    assert processes.start_of(sleeper) == 0
    assert processes.open_process(sleeper, started) is None


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", -9), ("exit 0", 0)])
def test_how_it_has_ended_is_told_before_it_is_reaped(script: str, code: int) -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], {})
    pidfd = os.pidfd_open(pid)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        status = processes.exit_status(pid, pidfd)
        assert status is not None
        assert os.waitstatus_to_exitcode(status) == code
        os.waitpid(pid, 0)
        later = processes.exit_status(pid, pidfd)
        assert later in (status, None)  # by the pidfd, from Linux 6.15 on
    finally:
        os.close(pidfd)


def test_a_kernel_that_cannot_tell_any_more_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    pidfd = os.pidfd_open(pid)
    try:
        os.waitpid(pid, 0)
        monkeypatch.setattr(processes, "_GET_INFO", 0xC0400000)  # no such request
        assert processes.exit_status(pid, pidfd) is None
    finally:
        os.close(pidfd)


def test_a_name_with_brackets_and_blanks_is_no_field(sleeper: int) -> None:
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("a) b (c")
        signal.pause()
    try:
        while True:
            with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                if comm.read() == "a) b (c\n":
                    break
        assert processes.start_of(pid) >= processes.start_of(sleeper) > 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
