"""Capability names, bits, and giving them up for good."""

from __future__ import annotations

import os
import sys

import pytest

from dockmagic_runtime.linux import capabilities
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.capabilities import NAMES, bits, names
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.testing.child import in_child
from dockmagic_runtime.testing.fake_linux import FakeLinux


def test_there_are_41_capabilities_and_their_bits_are_the_kernels() -> None:
    assert len(NAMES) == len(set(NAMES)) == 41
    known = {"CAP_CHOWN": 0, "CAP_SETPCAP": 8, "CAP_SYS_ADMIN": 21, "CAP_CHECKPOINT_RESTORE": 40}
    assert {name: bits([name]) for name in known} == {n: 1 << bit for n, bit in known.items()}


def test_bits_and_names_are_inverse() -> None:
    for chosen in (NAMES[:0], NAMES[:1], NAMES[3:9], NAMES):
        assert names(bits(chosen)) == frozenset(chosen)
    assert names(1 << 63) == frozenset()
    assert bits(["CAP_KILL", "CAP_KILL"]) == 1 << 5


def test_this_kernel_knows_every_name() -> None:
    assert capabilities.last_capability() >= len(NAMES) - 1


def test_what_is_available_is_the_bounding_set() -> None:
    def without_mknod() -> frozenset[str]:
        Kernel().prctl(c.PR_CAPBSET_DROP, NAMES.index("CAP_MKNOD"))
        return capabilities.available()

    here = capabilities.available()
    if os.geteuid() == 0 and "CAP_SETPCAP" in here:
        assert in_child(without_mknod) == here - {"CAP_MKNOD"}
    assert here <= frozenset(NAMES)


def test_the_bounding_set_is_dropped_before_the_right_to_drop_it() -> None:
    fake = FakeLinux()
    kept = bits(["CAP_CHOWN"])
    capabilities.restrict(fake, kept)
    dropped = [argument for _, argument in fake.arguments_of("prctl")]
    assert dropped == [bit for bit in range(capabilities.last_capability() + 1) if bit != 0]
    assert fake.names()[-2:] == ["capset", "clear_ambient"]
    assert fake.arguments_of("capset") == [(kept, kept, 0)]


@pytest.mark.root
def test_row_12_cve_2022_29162_nothing_is_inheritable_after_exec() -> None:
    kept = bits(["CAP_CHOWN", "CAP_KILL"])
    program = "import sys; sys.stdout.write(open('/proc/self/status').read())"

    def restricted() -> dict[str, int]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            capabilities.restrict(Kernel(), kept)
            os.dup2(writing, 1)
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", program])
        os.close(writing)
        with os.fdopen(reading) as stream:
            lines = stream.read().splitlines()
        os.waitpid(pid, 0)
        return {line[3:6]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}

    assert in_child(restricted) == {"Inh": 0, "Amb": 0, "Bnd": kept, "Prm": kept, "Eff": kept}
