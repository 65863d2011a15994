"""`make test-v2`: tests on a kernel whose only control groups are version 2, in a virtual machine.

Plain emulation serves, since not every machine can lend its processor to another kernel; it takes
minutes. With arguments, pytest's own, those tests are run instead of the usual ones.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import sys
import time
from collections.abc import Iterator

from . import machine
from .image import BUILD, CannotBuild, image

# What depends on the kernel and its control groups. All that is marked so takes an hour, and some
# of it also needs package sources, the images made from them, or a notebook.
MARKED = ("-m", "root or network or sctp")
SELECTION = (
    "tests/runtime/linux",
    "tests/runtime/network/test_held_ports.py",
    "tests/runtime/network/test_proxy_sctp.py",
    "tests/runtime/network/test_ruleset.py",
    "tests/runtime/network/test_sctp.py",
    "tests/runtime/network/test_traffic.py",
    "tests/runtime/network/test_traffic6.py",
    "tests/runtime/sandbox",
    "tests/integration/test_cgroup_v2.py",
    "tests/integration/test_containers.py",
    "tests/integration/test_isolation.py",
    "tests/integration/test_lifecycle.py",
    "tests/integration/test_losses.py",
    "tests/integration/test_modes.py",
    "tests/integration/test_sctp.py",
    "tests/integration/test_successors.py",
    "tests/integration/test_survival.py",
    "tests/integration/volumes",
)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One machine at a time: it takes two processors and more than a gigabyte of memory."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.v2", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--limit", type=float, default=40, help="minutes (default: 40)")
    options, arguments = parser.parse_known_args()
    begun = time.monotonic()
    try:
        with alone():
            chosen = arguments or [*MARKED, *SELECTION]
            status = machine.run(image(), chosen, limit=options.limit * 60)
    except (CannotBuild, machine.NoResult) as error:
        print(f"dockmagic: no test in the virtual machine: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as from a shell; the machine is off
    print(f"The virtual machine took {time.monotonic() - begun:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
