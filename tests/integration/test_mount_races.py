"""Links that are swapped in a shared volume while other containers start on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.container import ContainerSpec, Mount

from .conftest import Run
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(180)]

ROUNDS = 40
# `x` is a directory, then a link to the host's directory with the secret, and so on
SWAP = """
mkdir /v/x /v/x/sub
while :; do
    ln -s {outside} /v/l; mv /v/x /v/d; mv -T /v/l /v/x
    rm /v/x; mv -T /v/d /v/x; touch /v/ready
done 2>/dev/null
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    (path / "sub").mkdir(parents=True)
    (path / "secret").write_text("of the host")
    return path


@pytest.fixture
def swapping(engine: Engine, outside: Path) -> Iterator[None]:
    mount = Mount(kind="volume", source="shared", target="/v")
    script = SWAP.format(outside=outside)
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sh", "-c", script), name="swap", mounts=(mount,)),
        detach=True,
    )
    data = Path(engine.volumes.get("shared").mountpoint)
    assert eventually((data / "ready").exists)
    yield
    engine.containers.remove("swap", force=True)


def seen(run: Run, *command: str, **spec: object) -> str:
    """What the command writes; nothing where the start met a link or a gap."""
    try:
        return run(*command, **spec).stdout
    except DockmagicError as error:
        return "" if "of the host" not in error.message else error.message


@pytest.mark.usefixtures("swapping")
def test_row8_a_subpath_that_is_swapped_never_shows_the_host(run: Run, outside: Path) -> None:
    before = sorted(outside.rglob("*"))
    mount = Mount(kind="volume", source="shared", target="/m", subpath="x")
    for _ in range(ROUNDS):
        assert seen(run, "sh", "-c", "cat /m/secret", mounts=(mount,)) == ""
    assert sorted(outside.rglob("*")) == before


@pytest.mark.usefixtures("swapping")
def test_row8_row9_a_mount_point_that_is_swapped_is_never_made_on_the_host(
    run: Run, outside: Path, tmp_path: Path
) -> None:
    before = sorted(outside.rglob("*"))
    shared = Mount(kind="volume", source="shared", target="/v")
    inner = Mount(kind="bind", source=str(tmp_path), target="/v/x/made/here")
    for _ in range(ROUNDS):
        assert seen(run, "cat", f"{outside}/secret", mounts=(shared, inner)) == ""
    assert sorted(outside.rglob("*")) == before


def test_row4_cve_2025_31133_masks_do_not_come_from_a_dev_that_others_change(
    engine: Engine, run: Run
) -> None:
    shared = Mount(kind="volume", source="devices", target="/dev")
    script = "while :; do ln -sf /proc/sys/kernel/core_pattern /dev/null; rm /dev/null; done"
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sh", "-c", script), name="swap", mounts=(shared,)),
        detach=True,
    )
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    attack = "cat /proc/kcore /proc/keys | head -c 64; echo x > /proc/kcore"
    for _ in range(ROUNDS):
        assert seen(run, "sh", "-c", attack, mounts=(shared,)) == ""
        assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    engine.containers.remove("swap", force=True)
