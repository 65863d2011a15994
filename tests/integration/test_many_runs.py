"""A thousand containers, one after the other: the last finds the host as the first did.

Whether it is as fast is a row of the benchmarks.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import Run
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]

RUNS = 1000


def descriptors(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def at_rest(launcher: int) -> int:
    """The descriptors of a launcher once its spare supervisor has ended: while one waits for a
    request, two seconds long, the launcher holds the ends of two pipes to it."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    assert eventually(lambda: not children.read_text())
    return descriptors(launcher)


def resident(pid: int | str = "self") -> int:
    """Bytes of memory that a process has for itself."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def rows(engine: Engine) -> dict[str, int]:
    """How many rows each table of the database has."""
    database = engine._components.database
    names = [name for (name,) in database.rows("SELECT name FROM sqlite_master WHERE type='table'")]
    return {name: int(database.row(f"SELECT count(*) FROM {name}")[0]) for name in names}  # type: ignore[index]


def files(directory: Path) -> set[str]:
    """All there is in an area but the journal of events, which turns over."""
    names = {str(path.relative_to(directory)) for path in directory.rglob("*")}
    return {name for name in names if not name.startswith("events")}


def test_a_thousand_runs_leave_nothing(engine: Engine, run: Run) -> None:
    for _ in range(20):
        run("true")  # the launcher, the network and the caches are there now
    assert eventually(lambda: not any(engine.data_root.run.iterdir()))
    host, known = HostSnapshot.take(engine.data_root), rows(engine)
    launcher = engine._components.launcher.pid
    own, launchers = descriptors(), at_rest(launcher)
    memory, their_memory = resident(), resident(launcher)
    present = files(engine.data_root.root)

    for _ in range(RUNS):
        assert run("true").code == 0

    assert left_behind(host, engine.data_root) == ""
    assert rows(engine) == known
    assert (descriptors(), at_rest(launcher)) == (own, launchers)
    assert files(engine.data_root.root) == present
    assert resident() - memory < 16 << 20
    assert resident(launcher) - their_memory < 1 << 20
