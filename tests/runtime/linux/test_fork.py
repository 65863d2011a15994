"""A child that belongs to our parent: what the start of a container rests on."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os
from dockmagic_runtime.linux.syscalls import Kernel
reader, writer = os.pipe()
if (middle := os.fork()) == 0:
    pid = Kernel().fork_sibling()
    if pid == 0:
        os._exit(7 if os.getppid() != os.getpid() else 1)
    os.write(writer, str(pid).encode())
    os._exit(0)
os.waitpid(middle, 0)
sibling = int(os.read(reader, 20))
print(os.waitstatus_to_exitcode(os.waitpid(sibling, 0)[1]))
"""


def test_a_sibling_is_waited_for_by_the_parent_of_who_forked_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == "7\n"
