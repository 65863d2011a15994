"""Trees of control groups in memory."""

from __future__ import annotations

import pytest

from dockmagic_runtime.cgroups import Cgroup, detect
from dockmagic_runtime.testing.fake_cgroups import FakeCgroups

MIB = 1024 * 1024
WORLDS = {
    "v1": FakeCgroups.v1,
    "hybrid": lambda: FakeCgroups.v1(hybrid=True),
    "v2": FakeCgroups.v2,
}


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


@pytest.fixture(params=sorted(WORLDS))
def fake(request: pytest.FixtureRequest) -> FakeCgroups:
    world: FakeCgroups = WORLDS[request.param]()
    return world


@pytest.fixture
def group(fake: FakeCgroups) -> Cgroup:
    group = detect(fake).at("dockmagic", "abc")
    group.create()
    return group
