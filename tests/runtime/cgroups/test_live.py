"""Control groups of the machine at hand, whichever version it has. All of it is ours."""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import signal
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dockmagic_runtime.cgroups import DEFAULT_DEVICES, Cgroup, Cgroups, DeviceRule, detect
from dockmagic_runtime.cgroups.devices import device_program
from dockmagic_runtime.cgroups.v2 import CgroupV2
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.testing.child import in_child

pytestmark = pytest.mark.root
MIB = 1024 * 1024
PATIENCE = 1_000_000  # turns given away to others, far more than a thaw needs


@pytest.fixture
def host() -> Cgroups:
    host = detect(Kernel())
    if host.version == 0:
        pytest.skip("optional: this machine has no control groups for us")
    return host


@pytest.fixture
def parent(host: Cgroups) -> Iterator[str]:
    """A parent group of our own, which must be gone when all in it was deleted."""
    name = f"dockmagic-{secrets.token_hex(4)}"
    before = _groups(host, name)
    yield name
    host.prune(name)
    assert _groups(host, name) == before == set()


def _groups(host: Cgroups, name: str) -> set[str]:
    trees = [tree.path for tree in host.layout.legacy]
    trees += [host.layout.unified.path] if host.layout.unified else []
    return {
        directory for tree in trees for directory, _, _ in os.walk(tree) if f"/{name}" in directory
    }


@pytest.fixture
def group(host: Cgroups, parent: str) -> Iterator[Cgroup]:
    group = host.at(parent, secrets.token_hex(32))
    group.create()
    yield group
    group.kill_all()
    group.delete()


def _joined(group: Cgroup, function: Callable[[], None]) -> int:
    """Fork a child that joins and then calls `function`; its pid, to be waited for."""
    pid = os.fork()
    if pid == 0:
        try:
            group.join(0)
            function()
        finally:
            os._exit(1)
    return pid


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _errno_inside(group: Cgroup, attempt: Callable[[], object]) -> int:
    """The errno that `attempt` meets in a process of the group; 0 for success."""

    def inside() -> int:
        group.join(0)
        return _errno_of(attempt)

    return in_child(inside)


def _errno_of(attempt: Callable[[], object]) -> int:
    try:
        attempt()
    except OSError as error:
        return error.errno or -1
    return 0


def _open(path: str) -> Callable[[], None]:
    return lambda: os.close(os.open(path, os.O_RDONLY))


class Busy:
    """A process in a group that does nothing but count, where we can see it."""

    def __init__(self, group: Cgroup, *, touching: int = 0) -> None:
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._touching = touching
        self.pid = _joined(group, self._count)
        self.await_progress()

    def _count(self) -> None:
        value = 0
        self._memory = b"x" * self._touching
        while True:
            value += 1
            self._shared[:8] = value.to_bytes(8)

    def value(self) -> int:
        return int.from_bytes(self._shared[:8])

    def await_progress(self) -> None:
        before = self.value()
        for _ in range(PATIENCE):
            if self.value() != before:
                return
            os.sched_yield()
        raise AssertionError("the counting process stands still")

    def stands_still(self) -> bool:
        before = self.value()
        for _ in range(20_000):
            os.sched_yield()
        return self.value() == before

    def reap(self) -> int:
        code = _wait(self.pid)
        self._shared.close()
        return code


# ---------------------------------------------------------------------- processes


def test_it_holds_the_process_that_joined_and_what_that_forks(group: Cgroup) -> None:
    def family() -> tuple[int, tuple[int, ...]]:
        group.join(0)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        pids = group.pids()
        os.close(writing)
        os.waitpid(pid, 0)
        return pid, pids

    pid, pids = in_child(family)
    assert pid in pids
    assert len(pids) == 2
    assert group.pids() == ()


def test_a_frozen_process_stands_still_until_it_is_thawed(group: Cgroup) -> None:
    busy = Busy(group)
    group.freeze()
    assert busy.stands_still()
    group.thaw()
    busy.await_progress()
    group.kill_all()
    assert busy.reap() == -signal.SIGKILL


def test_version_2_freezes_and_kills_in_the_tree_of_its_own(unified: Cgroup) -> None:
    busy = Busy(unified)
    unified.freeze()
    assert busy.stands_still()
    unified.thaw()
    busy.await_progress()
    unified.freeze()
    unified.kill_all()
    assert unified.pids() == ()
    assert busy.reap() == -signal.SIGKILL


@pytest.mark.parametrize("frozen", [False, True])
def test_killing_ends_all_though_nobody_has_reaped_them(group: Cgroup, frozen: bool) -> None:
    several = [Busy(group) for _ in range(3)]
    if frozen:
        group.freeze()
    group.kill_all()
    assert group.pids() == ()
    assert [process.reap() for process in several] == [-signal.SIGKILL] * 3
    group.delete()
    assert not group.exists()


def test_groups_made_inside_are_killed_and_deleted_too(group: Cgroup) -> None:
    for directory in group.directories:
        os.mkdir(f"{directory}/inner")
        for file in ("cpuset.cpus", "cpuset.mems"):
            if os.path.exists(f"{directory}/inner/{file}"):
                value = Path(f"{directory}/{file}").read_text()
                Path(f"{directory}/inner/{file}").write_text(value)

    def move() -> None:
        for directory in group.directories:
            Path(f"{directory}/inner/cgroup.procs").write_text("0")
        signal.pause()

    pid = _joined(group, move)
    for _ in range(PATIENCE):
        if _is_in(pid, f"{group.directories[-1]}/inner"):
            break
        os.sched_yield()
    assert group.pids() == (pid,)
    group.kill_all()
    assert _wait(pid) == -signal.SIGKILL
    group.delete()
    assert not group.exists()


def _is_in(pid: int, directory: str) -> bool:
    return str(pid) in Path(f"{directory}/cgroup.procs").read_text().split()


def test_supervisors_share_a_group_beside_the_containers(host: Cgroups, parent: str) -> None:
    supervisors = host.supervisors(parent)

    def enter() -> tuple[bool, int]:
        supervisors.create()
        supervisors.join(0)
        return os.getpid() in supervisors.pids(), len(supervisors.pids())

    assert in_child(enter) == (True, 1)
    assert in_child(enter) == (True, 1)


# ---------------------------------------------------------------------- limits


def _value(group: Cgroup, *files: str) -> str:
    """The text of the first of these control files that exists in one of the trees."""
    for file in files:
        for directory in group.directories:
            if os.path.exists(path := f"{directory}/{file}"):
                return Path(path).read_text().strip()
    raise AssertionError(f"none of {files} exists")


def test_limits_are_what_the_kernel_says_they_are(group: Cgroup) -> None:
    group.apply(
        Resources(
            memory=64 * MIB,
            memory_reservation=32 * MIB,
            nano_cpus=1_500_000_000,
            cpu_shares=512,
            pids_limit=77,
            cpuset_cpus="0",
        )
    )
    assert group.stats().memory_limit == 64 * MIB
    assert _value(group, "cpu.max", "cpu.cfs_quota_us") in ("150000 100000", "150000")
    assert _value(group, "cpu.weight", "cpu.shares") in ("59", "512")
    assert _value(group, "pids.max") == "77"
    assert _value(group, "cpuset.cpus") == "0"
    assert _value(group, "memory.low", "memory.soft_limit_in_bytes") == str(32 * MIB)


@pytest.mark.parametrize("order", [(64, 256), (256, 64)])
def test_memory_can_be_raised_and_lowered(group: Cgroup, order: tuple[int, int]) -> None:
    for mebibytes in order:
        group.apply(Resources(memory=mebibytes * MIB))
        assert group.stats().memory_limit == mebibytes * MIB
    group.apply(Resources(memory=-1, memory_swap=-1))
    assert group.stats().memory_limit == 0


def test_a_process_that_wants_more_memory_is_killed_and_counted(group: Cgroup) -> None:
    group.apply(Resources(memory=16 * MIB, memory_swap=16 * MIB))
    assert group.oom_events() == 0
    pid = _joined(group, lambda: print(len(bytearray(os.urandom(1) * (64 * MIB)))))
    assert _wait(pid) == -signal.SIGKILL
    assert group.oom_events() >= 1


def test_a_process_beyond_the_limit_cannot_be_forked(group: Cgroup) -> None:
    group.apply(Resources(pids_limit=1))

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    assert _errno_inside(group, fork) == errno.EAGAIN


def test_what_a_process_uses_is_counted(group: Cgroup) -> None:
    busy = Busy(group, touching=8 * MIB)
    for _ in range(PATIENCE):
        if group.stats().cpu_ns:  # the kernel adds it up at the next tick
            break
        os.sched_yield()
    stats = group.stats()
    assert stats.cpu_ns > 0
    assert stats.memory_bytes >= 8 * MIB
    assert stats.pids == 1
    group.kill_all()
    busy.reap()


# ---------------------------------------------------------------------- devices


def _disk(tmp_path: Path) -> str:
    """A node of the first SCSI disk, as a layer could bring one; there need be no such disk."""
    path = str(tmp_path / "sda")
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(8, 0))
    return path


def _check_default_devices(group: Cgroup, tmp_path: Path) -> None:
    disk, memory = _disk(tmp_path), str(tmp_path / "mem")
    os.mknod(memory, stat.S_IFCHR | 0o600, os.makedev(1, 1))
    assert _errno_of(_open("/dev/kmsg")) == 0, "the control: outside it opens"
    assert errno.EPERM not in (_errno_of(_open(disk)), _errno_of(_open(memory)))
    assert _errno_inside(group, _open("/dev/kmsg")) == errno.EPERM
    assert _errno_inside(group, _open(memory)) == errno.EPERM
    assert _errno_inside(group, _open(disk)) == errno.EPERM
    for name in ("null", "zero", "full", "random", "urandom"):
        assert _errno_inside(group, _open(f"/dev/{name}")) == 0, name
    node = str(tmp_path / "made")
    assert _errno_inside(group, lambda: os.mknod(node, stat.S_IFBLK, os.makedev(8, 1))) == 0


def test_row_44_a_device_node_from_a_layer_cannot_be_opened(
    host: Cgroups, group: Cgroup, tmp_path: Path
) -> None:
    assert host.can_limit_devices()
    group.allow_devices(DEFAULT_DEVICES)
    _check_default_devices(group, tmp_path)


@pytest.fixture
def unified(host: Cgroups, parent: str) -> Iterator[Cgroup]:
    """A group in the v2 tree, even where the controllers live in others."""
    tree = host.layout.unified
    if tree is None:
        pytest.skip("optional: this machine has no cgroup v2 tree")
    group = CgroupV2(Kernel(), tree.path, parent, "devices")
    group.create()
    yield group
    group.delete()


def test_row_44_the_program_of_version_2_denies_the_same(unified: Cgroup, tmp_path: Path) -> None:
    unified.allow_devices(DEFAULT_DEVICES)
    _check_default_devices(unified, tmp_path)


def test_a_device_that_is_allowed_for_reading_cannot_be_written(unified: Cgroup) -> None:
    unified.allow_devices([DeviceRule("c", 1, 3, "r")])
    assert _errno_inside(unified, _open("/dev/null")) == 0
    assert _errno_inside(unified, lambda: os.open("/dev/null", os.O_WRONLY)) == errno.EPERM
    assert _errno_inside(unified, _open("/dev/zero")) == errno.EPERM


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (DeviceRule("a"),),
        (DeviceRule("b", 8, 0, "r"), DeviceRule("c", access="m"), DeviceRule("a", 5)),
        DEFAULT_DEVICES,
        tuple(DeviceRule("c", 1, minor, "rw") for minor in range(256)),
    ],
    ids=["none", "all", "mixed", "default", "many"],
)
def test_the_verifier_takes_every_program(rules: tuple[DeviceRule, ...]) -> None:
    kernel = Kernel()
    kernel.close(kernel.bpf_load(c.BPF_PROG_TYPE_CGROUP_DEVICE, device_program(rules)))


def test_the_verifier_is_really_asked() -> None:
    never_ends = bytes.fromhex("05 00 ffff 00000000")
    with pytest.raises(OSError, match="bpf"):
        Kernel().bpf_load(c.BPF_PROG_TYPE_CGROUP_DEVICE, never_ends)


# ---------------------------------------------------------------------- seen from inside


def test_row_10_a_container_sees_its_own_groups_and_cannot_change_them(
    host: Cgroups, group: Cgroup
) -> None:
    view = host.view()

    def inside() -> tuple[dict[str, str], list[int]]:
        kernel = Kernel()
        group.join(0)
        kernel.unshare(c.CLONE_NEWNS | c.CLONE_NEWCGROUP)
        kernel.mount("none", "/", "", c.MS_REC | c.MS_PRIVATE, "")
        # as in a container's own /sys: the kernel mounts no file system on top of itself
        kernel.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "")
        for mount in view.mounts:
            flags = c.MS_NOSUID | c.MS_NODEV | c.MS_NOEXEC
            flags |= c.MS_RDONLY if mount.fstype != "tmpfs" else 0
            os.makedirs(mount.target, exist_ok=True)
            kernel.mount(mount.fstype, mount.target, mount.fstype, flags, ",".join(mount.settings))
        for path, target in view.links:
            os.symlink(target, path)
        trees = [mount.target for mount in view.mounts if mount.fstype != "tmpfs"]
        procs = {tree: Path(f"{tree}/cgroup.procs").read_text() for tree in trees}
        return procs, [_errno_of(partial(os.mkdir, f"{tree}/x")) for tree in trees]

    procs, errors = in_child(inside)
    assert procs
    assert all(len(text.split()) == 1 for text in procs.values())  # itself alone
    assert set(errors) == {errno.EROFS}
