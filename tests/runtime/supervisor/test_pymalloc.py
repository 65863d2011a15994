"""Gaps among small objects are filled, on interpreters whose allocator is known."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dockmagic_runtime.supervisor import pymalloc


@pytest.mark.skipif(not pymalloc.is_known(), reason="optional: another allocator")
def test_small_objects_that_come_after_lie_in_fresh_pools() -> None:
    """In a process of its own: here the test runner allocates in between."""
    program = """
from dockmagic_runtime.supervisor import pymalloc as p
p.fill_pools()
sizes = range(16, 513, 16)
fresh = [p._of_size(size) for size in sizes]
old = {id(small) // p._POOL for small in p._filler}
print(sum(id(small) // p._POOL in old for small in fresh), len(p._filler) > len(sizes))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    in_old_pools, has_filled = done.stdout.split()
    assert has_filled == "True"
    assert int(in_old_pools) <= 4  # what the loop above allocates itself


def test_an_unknown_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymalloc, "_filler", [])
    monkeypatch.setattr(pymalloc, "is_known", lambda: False)
    pymalloc.fill_pools()
    assert pymalloc._filler == []
