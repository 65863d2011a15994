"""A child that belongs to our parent: what the start of a container rests on."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.linux.syscalls import Kernel

_PROGRAM = """
import os
from dockmagic_runtime.linux.syscalls import Kernel
reader, writer = os.pipe()
if (middle := os.fork()) == 0:
    pid = Kernel().clone_parent()
    if pid == 0:
        os._exit(7 if os.getppid() != os.getpid() else 1)
    os.write(writer, str(pid).encode())
    os._exit(0)
os.waitpid(middle, 0)
sibling = int(os.read(reader, 20))
print(os.waitstatus_to_exitcode(os.waitpid(sibling, 0)[1]))
"""

_BIRTH = """
import os, sys
from dockmagic_runtime.linux.syscalls import Kernel
fd = os.open(sys.argv[1], os.O_PATH | os.O_DIRECTORY)
parent = os.getpid()
if (middle := os.fork()) == 0:
    middle = os.getpid()
    pid = Kernel().clone_into_cgroup(fd, sibling=bool(sys.argv[2]))
    if pid == 0:
        lines = open("/proc/self/cgroup").read().splitlines()
        (group,) = (line.rpartition("/")[2] for line in lines if line.startswith("0::"))
        whose = {middle: "ours", parent: "theirs"}[os.getppid()]
        os.write(1, f"{group} {whose}\\n".encode())
        os._exit(0)
    if not sys.argv[2]:
        os.waitpid(pid, 0)
    os._exit(0)
while True:
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        break
"""


def test_a_sibling_is_waited_for_by_the_parent_of_who_forked_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == "7\n"


@pytest.mark.root
@pytest.mark.parametrize("sibling", [False, True])
def test_a_child_can_be_created_in_a_control_group_of_version_2(sibling: bool) -> None:
    tree = detect(Kernel()).layout.unified
    if tree is None:
        pytest.skip("optional: this machine has no cgroup v2 tree")
    group = f"{tree.path}/dockmagic-{secrets.token_hex(4)}"
    os.mkdir(group)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _BIRTH, group, "1" if sibling else ""],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    finally:
        os.rmdir(group)
    *first, parent = ended.stdout.split()
    assert first[0] == os.path.basename(group)  # already when its first line runs
    assert parent == ("theirs" if sibling else "ours")


@pytest.mark.root
def test_where_none_can_be_created_the_parent_gets_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="clone3"):
            Kernel().clone_into_cgroup(fd, sibling=False)
    finally:
        os.close(fd)
