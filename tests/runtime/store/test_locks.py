from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime.store import locks


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not locks.is_held(path)
    fd = locks.acquire(path)
    assert fd is not None
    assert locks.is_held(path)
    assert locks.acquire(path) is None
    os.close(fd)
    assert not locks.is_held(path)


def test_asking_does_not_drop_the_lock_of_the_same_process(tmp_path: Path) -> None:
    """Classic POSIX locks would end when any descriptor of the file is closed."""
    path = str(tmp_path / "lock")
    fd = locks.acquire(path)
    assert fd is not None
    assert locks.is_held(path)
    assert locks.is_held(path)
    os.close(fd)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    program = (
        "import sys, time; from dockmagic_runtime.store import locks;"
        "locks.acquire(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert locks.is_held(path)
        holder.send_signal(signal.SIGKILL)
    assert not locks.is_held(path)


def test_the_descriptor_is_close_on_exec(tmp_path: Path) -> None:
    fd = locks.acquire(str(tmp_path / "lock"))
    assert fd is not None
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_file_that_was_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a sweep, which finds its lock free."""
    path, take, removed = tmp_path / "lease", locks.acquire, list[int]()

    def take_late(name: str) -> int | None:
        fd = take(name)
        if not removed:
            removed.append(1)
            path.unlink()
        return fd

    monkeypatch.setattr(locks, "acquire", take_late)
    fd = locks.acquire_named(str(path))
    assert fd is not None
    assert os.path.samestat(os.fstat(fd), path.stat())
    assert locks.is_held(str(path))
    os.close(fd)
