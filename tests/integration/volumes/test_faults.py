"""Historic faults of mounts and volumes, named by their row of the security table and number."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.model.container import ContainerSpec, Mount
from tests.integration.conftest import Build, Run

from .conftest import bind, data, volume

pytestmark = [pytest.mark.root, pytest.mark.network]


_SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
print("ready", flush=True)
while True:
    libc.renameat2(-100, b"a", -100, b"link", 2)  # RENAME_EXCHANGE
"""


@pytest.fixture
def swapped(engine: Engine, run: Run) -> Iterator[Path]:
    """A volume `vol` in which the directory `a` and a link to the top change places without end.

    It is done on the host, faster than a container could.
    """
    links = "mkdir -p /v/a/b && echo volume > /v/a/name && ln -s ../../../../../../../../.. /v/link"
    run("sh", "-c", links, mounts=(volume("vol", "/v"),))
    root = data(engine, "vol")
    arguments = [sys.executable, "-c", _SWAP, str(root)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"ready\n"
        yield root
        swapper.kill()


def shows_host_root(mountinfo: str) -> bool:
    """Whether the top of the host's root file system is mounted anywhere."""
    number = Path("/").stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    lines = (line.split() for line in mountinfo.splitlines())
    return any(words[2:4] == [device, "/"] for words in lines)


def test_row8_cve_2021_30465_links_that_are_swapped_while_mounting_lead_nowhere(
    engine: Engine, run: Run, swapped: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    marker.mkdir()
    name = f"dockmagic-{os.getpid()}-row8"
    mounts = (volume("vol", "/v"), bind(marker, f"/v/a/{name}"), volume("vol", "/v/a/b"))
    started = 0
    for _ in range(100):
        try:
            ended = run("cat", "/proc/self/mountinfo", mounts=mounts, network="none")
        except StartFailed:  # a directory was no longer one when it was its turn
            continue
        started += 1
        assert f"{marker} " in ended.stdout
        assert not shows_host_root(ended.stdout)
    assert started > 10
    assert not Path("/", name).exists()
    assert str(marker) not in Path("/proc/self/mountinfo").read_text()


def test_row22_cve_2023_0778_a_part_that_is_swapped_for_a_link_stays_in_the_volume(
    run: Run, swapped: Path
) -> None:
    seen = set()
    for _ in range(100):
        mount = volume("vol", "/part", subpath="a")
        ended = run(
            "sh",
            "-c",
            "ls /part; echo -; cat /proc/self/mountinfo",
            mounts=(mount,),
            network="none",
        )
        listing, _, mountinfo = ended.stdout.partition("-\n")
        seen.add(tuple(listing.split()))
        assert not shows_host_root(mountinfo)
    # the directory itself, or the top of the volume: whatever it was at that moment
    assert seen <= {("b", "name"), ("a", "link")}


def test_row9_cve_2024_45310_missing_mount_points_are_made_inside(
    engine: Engine, build: Build, run: Run, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    image = build(f"FROM busybox\nRUN ln -s {outside} /a\n")
    file = tmp_path / "file"
    file.touch()
    for mount in (
        volume("vol", "/a/volume"),
        bind(file, "/a/deep/file"),
        Mount(kind="tmpfs", target="/a/memory"),
        Mount(kind="image", source="busybox", target="/a/image"),
    ):
        assert run("test", "-e", mount.target, image=image, mounts=(mount,)).code == 0
    assert os.listdir(outside) == []


@pytest.mark.parametrize("target", ["../../../../etc", "/etc"])
def test_row21_cve_2022_23648_a_volume_behind_a_link_is_filled_from_the_image(
    engine: Engine, build: Build, target: str
) -> None:
    image = build(
        f"FROM busybox\nRUN echo image > /etc/hostname-of-image; ln -s {target} /v\nVOLUME /v\n"
    )
    engine.containers.create(ContainerSpec(image=image))
    (volume,) = engine.volumes.list()
    names = set(os.listdir(volume.mountpoint))
    assert "hostname-of-image" in names
    assert "shadow" not in names
