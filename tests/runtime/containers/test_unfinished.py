"""Which processes hold the lock of a start that does not come to its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime.containers.lifecycle import unfinished
from dockmagic_runtime.linux.processes import descriptor_target


def test_security_10_the_holders_of_a_lock_are_the_processes_that_have_it_open(
    tmp_path: Path,
) -> None:
    assert unfinished._holders(str(tmp_path)) == []
    with (tmp_path / "lock").open("w"):
        ((pid, started),) = unfinished._holders(str(tmp_path))
    assert (pid, started > 0) == (os.getpid(), True)


def test_security_10_a_process_in_a_directory_without_a_readable_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(30):  # of 200 letters each: longer than PATH_MAX
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    deep = os.open(".", os.O_RDONLY)
    try:
        assert descriptor_target(f"/proc/self/fd/{deep}") == ""
        assert unfinished._holders(str(tmp_path)) == []
    finally:
        os.close(deep)
