from __future__ import annotations

from typing import ClassVar

import pytest

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.sandbox.mounts import MakeDevices, MaskPaths, MountOverlay
from dockmagic_runtime.sandbox.operation import (
    Context,
    Operation,
    UndoneByKernel,
    from_wire,
    to_wire,
)
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.sandbox.user_mounts import (
    BindMount,
    MountImage,
    MountTmpfs,
    OpenSharedSource,
    OpenVolume,
)

OPERATIONS: tuple[Operation, ...] = (
    MountOverlay(("/l2", "/l1"), "/u", "/w", "/t", volatile=True),
    BindMount("/a", "/b", read_only=True),
    MountImage("httpd", "/i", ("/l2", "/l1"), "/t", subpath="usr"),
    MountTmpfs("/m", ("noexec", "size=1m")),
    OpenSharedSource("/a", "/b", "rslave"),
    OpenVolume("/v", "/volumes/v/_data", "tmpfs", "tmpfs", ("size=1m",), (7, 99, "/v")),
    MaskPaths(("/proc/kcore",)),
    MakeDevices(),
)


def test_every_operation_names_its_calls_and_its_undoing() -> None:
    for operation in OPERATIONS:
        assert all(operation.calls)
        assert operation.undoing


def test_a_plan_survives_json() -> None:
    plan = SandboxPlan(
        inside=OPERATIONS,
        process=ProcessSpec(argv=("sh", "-c", "x"), env=("A=b",), rlimits=((7, 1, 2),)),
    )
    assert SandboxPlan.decode(plan.encode()) == plan


def test_an_operation_nobody_registered_is_our_bug() -> None:
    class Stranger(UndoneByKernel, frozen=True):
        calls: ClassVar[tuple[str, ...]] = ()

        def describe(self) -> str:
            return ""

        def execute(self, context: Context) -> None: ...

    with pytest.raises(EngineBug, match="Stranger"):
        from_wire(to_wire([Stranger()]))


def test_a_plan_describes_itself_in_order() -> None:
    plan = SandboxPlan(inside=OPERATIONS, process=ProcessSpec(argv=("httpd", "-D"), env=()))
    lines = plan.describe()
    assert lines[0].startswith("mount an overlay of 2 read-only layers")
    assert lines[-1] == "execute httpd -D"
    assert len(lines) == len(OPERATIONS) + 1
