from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.testing.host import HostSnapshot, left_behind


def _difference(data_root: DataRoot, before: HostSnapshot) -> tuple[str, ...]:
    return HostSnapshot.take(data_root).difference(before)


def test_two_snapshots_of_an_idle_area_are_equal(data_root: DataRoot) -> None:
    assert HostSnapshot.take(data_root) == HostSnapshot.take(data_root)


def test_a_file_in_the_run_directory_is_seen(data_root: DataRoot) -> None:
    before = HostSnapshot.take(data_root)
    left = data_root.run / "launcher.sock"
    left.write_text("")
    assert _difference(data_root, before) == (f"run_files: {left}",)
    left.unlink()


def test_the_run_directory_of_another_area_is_not_seen(data_root: DataRoot, tmp_path: Path) -> None:
    other = DataRoot.at(tmp_path / "other")
    before = HostSnapshot.take(data_root)
    other.run.mkdir()
    (other.run / "launcher.sock").write_text("")
    assert _difference(data_root, before) == ()
    (other.run / "launcher.sock").unlink()
    other.run.rmdir()


def test_a_process_that_holds_a_file_of_the_area_is_seen_until_it_ends(data_root: DataRoot) -> None:
    before = HostSnapshot.take(data_root)
    with (data_root.scratch / "log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log
        )
    left = _difference(data_root, before)
    child.communicate(b"\n")
    assert [line.split()[:2] for line in left] == [["processes:", str(child.pid)]]
    assert left_behind(before, data_root) == ""


@pytest.mark.root
def test_a_mount_below_the_area_is_seen(data_root: DataRoot) -> None:
    kernel, target = Kernel(), str(data_root.layers)
    before = HostSnapshot.take(data_root)
    kernel.mount("tmpfs", target, "tmpfs", 0, "")
    left = _difference(data_root, before)
    kernel.umount(target, c.MNT_DETACH)
    assert left == (f"mounts: {target} (tmpfs)",)


@pytest.mark.network
def test_a_bridge_and_a_table_with_the_name_of_the_area_are_seen(data_root: DataRoot) -> None:
    before = HostSnapshot.take(data_root)
    subprocess.run(["ip", "link", "add", data_root.bridge, "type", "bridge"], check=True)
    subprocess.run(["nft", "add", "table", "inet", data_root.nft_table], check=True)
    left = _difference(data_root, before)
    subprocess.run(["nft", "delete", "table", "inet", data_root.nft_table], check=True)
    subprocess.run(["ip", "link", "del", data_root.bridge], check=True)
    assert left == (f"links: {data_root.bridge}", f"nft_tables: {data_root.nft_table}")


@pytest.mark.network
def test_many_tables_are_all_read(data_root: DataRoot) -> None:
    names = [f"{data_root.nft_table}-{number}" for number in range(200)]
    script = "\n".join(f"add table inet {name}" for name in names)
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    left = HostSnapshot.take(data_root).nft_tables
    script = "\n".join(f"delete table inet {name}" for name in names)
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    assert left == set(names)


@pytest.mark.root
def test_a_cgroup_with_the_name_of_the_area_is_seen(data_root: DataRoot) -> None:
    before = HostSnapshot.take(data_root)
    parents = [Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    ours = next(p for p in parents if (p / "cgroup.procs").exists()) / data_root.cgroup_parent
    ours.mkdir()
    (ours / "inner").mkdir()
    left = _difference(data_root, before)
    (ours / "inner").rmdir()
    ours.rmdir()
    assert left == (f"cgroups: {ours}", f"cgroups: {ours}/inner")


def test_the_difference_names_what_appeared_and_not_what_went() -> None:
    def snapshot(*mounts: str) -> HostSnapshot:
        nothing: frozenset[str] = frozenset()
        return HostSnapshot(
            mounts=frozenset(mounts),
            links=nothing,
            nft_tables=nothing,
            cgroups=nothing,
            processes=nothing,
            run_files=nothing,
        )

    assert snapshot("b", "c").difference(snapshot("a", "b")) == ("mounts: c",)
