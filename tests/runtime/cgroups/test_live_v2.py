"""What version 2 alone has, and a subtree handed to a user, on a host whose only tree it is.

`make test-v2` makes such a host. Everything that both versions can do is in test_live.py.
"""

from __future__ import annotations

import os
import secrets
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.cgroups import Cgroup, Cgroups, detect
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.testing.child import in_child

pytestmark = pytest.mark.root
MIB = 1024 * 1024
NOBODY = 65534
PATIENCE = 10_000_000  # turns, far more than a few scheduling periods take


@pytest.fixture
def host() -> Cgroups:
    host = detect(Kernel())
    if host.version != 2:
        pytest.skip("optional: this machine's controllers are not in a cgroup v2 tree")
    return host


@pytest.fixture
def parent(host: Cgroups) -> Iterator[str]:
    name = f"dockmagic-{secrets.token_hex(4)}"
    yield name
    host.prune(name)
    assert host.layout.unified is not None
    assert not os.path.exists(f"{host.layout.unified.path}/{name}")


@pytest.fixture
def group(host: Cgroups, parent: str) -> Iterator[Cgroup]:
    group = host.at(parent, secrets.token_hex(32))
    group.create()
    yield group
    group.kill_all()
    group.delete()


def _text(group: Cgroup, file: str) -> str:
    return Path(f"{group.directories[0]}/{file}").read_text().strip()


def _inside(group: Cgroup, function: Callable[[], object]) -> object:
    def inside() -> object:
        group.join(0)
        return function()

    return in_child(inside)


# ---------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limits", "swap"),
    [
        (Resources(memory=64 * MIB), str(64 * MIB)),
        (Resources(memory=64 * MIB, memory_swap=96 * MIB), str(32 * MIB)),
        (Resources(memory=64 * MIB, memory_swap=64 * MIB), "0"),
        (Resources(memory=64 * MIB, memory_swap=-1), "max"),
    ],
)
def test_swap_is_what_dockers_total_leaves_for_it(
    group: Cgroup, limits: Resources, swap: str
) -> None:
    assert group.apply(limits) == ()
    assert _text(group, "memory.max") == str(64 * MIB)
    assert _text(group, "memory.swap.max") == swap


def test_processor_time_beyond_the_quota_is_withheld(group: Cgroup) -> None:
    group.apply(Resources(nano_cpus=50_000_000))

    def burn() -> bool:
        return any("nr_throttled 0" not in _text(group, "cpu.stat") for _ in range(PATIENCE))

    assert _text(group, "cpu.max") == "5000 100000"
    assert _inside(group, burn) is True


def test_processes_stay_on_their_processors(group: Cgroup) -> None:
    group.apply(Resources(cpuset_cpus="0", cpuset_mems="0"))
    assert _inside(group, lambda: os.sched_getaffinity(0)) == {0}
    assert _text(group, "cpuset.cpus.effective") == "0"


def test_a_block_weight_is_set_or_left_out_with_a_warning(group: Cgroup) -> None:
    warnings = group.apply(Resources(blkio_weight=500))
    files = [file for file in ("io.bfq.weight", "io.weight") if os.path.exists(_path(group, file))]
    assert bool(files) is not bool(warnings)
    if files:
        assert _text(group, files[0]).splitlines()[0] in ("default 500", "500", "default 4950")


def _path(group: Cgroup, file: str) -> str:
    return f"{group.directories[0]}/{file}"


def test_swappiness_is_left_out_with_dockers_warning(group: Cgroup) -> None:
    (warning,) = group.apply(Resources(memory_swappiness=10))
    assert warning.endswith("Memory swappiness discarded.")


def test_real_time_is_refused(group: Cgroup) -> None:
    with pytest.raises(Unsupported, match="cpu"):
        group.apply(Resources(cpu_rt_runtime=1000))


def _disk() -> tuple[str, str]:
    """A whole disk that is not made of memory: its node's name and its number."""
    for entry in sorted(Path("/sys/block").iterdir()):
        if (entry / "device").exists():
            return f"/dev/{entry.name}", (entry / "dev").read_text().strip()
    pytest.skip("optional: this machine has no disk")


def test_rates_are_limited_in_every_direction(group: Cgroup) -> None:
    _, number = _disk()
    kinds = ("read_bps", "write_bps", "read_iops", "write_iops")
    limits = Resources(throttles=tuple((kind, number, 4096) for kind in kinds))
    assert group.apply(limits) == ()
    assert _text(group, "io.max") == f"{number} rbps=4096 wbps=4096 riops=4096 wiops=4096"


def test_what_is_written_to_a_disk_is_counted(group: Cgroup, tmp_path: Path) -> None:
    if os.major(os.stat(tmp_path).st_dev) == 0:
        pytest.skip("optional: the temporary directory is on no disk")

    def write() -> None:
        with (tmp_path / "file").open("wb") as stream:
            stream.write(os.urandom(4 * MIB))
            os.fsync(stream.fileno())

    before = group.stats().block_write
    _inside(group, write)
    assert group.stats().block_write >= before + 4 * MIB


@pytest.mark.parametrize("resource", ["cpu", "memory", "io"])
def test_pressure_can_be_read(group: Cgroup, resource: str) -> None:
    words = _text(group, f"{resource}.pressure").split()
    assert words[0] == "some"
    assert words[1].startswith("avg10=")


# ---------------------------------------------------------------------- not at the root


@pytest.fixture
def delegated(host: Cgroups, parent: str) -> Iterator[str]:
    """A subtree that belongs to a user, as a service manager gives it, with a leaf to live in."""
    service = host.at(parent, "user.service")
    service.create()
    directory = service.directories[0]
    os.mkdir(f"{directory}/init.scope")
    for place in (directory, f"{directory}/init.scope"):
        for name in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
            os.chown(f"{place}{name}", NOBODY, NOBODY)
    yield directory
    service.kill_all()
    service.delete()


def _as_its_user(directory: str, function: Callable[[Cgroups], object]) -> object:
    def inside() -> object:
        Path(f"{directory}/init.scope/cgroup.procs").write_text("0")
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return function(detect(Kernel()))

    return in_child(inside)


def test_a_user_limits_freezes_and_kills_in_the_subtree_delegated_to_him(delegated: str) -> None:
    def use(host: Cgroups) -> object:
        group = host.at("dockmagic", "abc")
        group.create()
        group.apply(Resources(memory=64 * MIB, pids_limit=10, nano_cpus=500_000_000))
        pid = os.fork()
        if pid == 0:
            group.join(0)
            signal.pause()
        group.freeze()
        group.thaw()
        limit = group.stats().memory_limit
        while pid not in group.pids():
            os.sched_yield()
        group.kill_all()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        group.delete()
        host.prune("dockmagic")
        return host.version, group.directories, limit, code, host.can_limit_devices()

    expected = (2, (f"{delegated}/dockmagic/abc",), 64 * MIB, -signal.SIGKILL, False)
    assert _as_its_user(delegated, use) == expected
    assert not os.path.exists(f"{delegated}/dockmagic")


def test_a_user_without_a_subtree_has_no_groups(host: Cgroups, group: Cgroup) -> None:
    def inside() -> object:
        group.join(0)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return detect(Kernel()).version

    assert in_child(inside) == 0


def test_inside_a_container_groups_are_made_and_what_cannot_be_limited_is_said(
    group: Cgroup,
) -> None:
    """Its root group has processes, so it may not hand controllers down, and they are not ours."""

    def inside() -> tuple[int, tuple[int, ...], str]:
        kernel = Kernel()
        group.join(0)
        kernel.unshare(c.CLONE_NEWNS | c.CLONE_NEWCGROUP)
        kernel.mount("none", "/", "", c.MS_REC | c.MS_PRIVATE, "")
        kernel.umount("/sys/fs/cgroup", c.MNT_DETACH)
        kernel.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "")
        host = detect(kernel)
        inner = host.at("dockmagic", "abc")
        inner.create()
        try:
            with pytest.raises(Unsupported) as raised:
                inner.apply(Resources(memory=64 * MIB))
            return host.version, inner.pids(), raised.value.message
        finally:
            inner.delete()
            host.prune("dockmagic")

    version, pids, message = in_child(inside)
    assert (version, pids) == (2, ())
    assert message.endswith("the memory cgroup controller is not available")


def test_only_what_is_asked_for_is_changed_above_our_groups(host: Cgroups, parent: str) -> None:
    """Controllers are handed down; no process that was there is moved, no limit is set."""
    assert host.layout.unified is not None
    root = host.layout.unified.path
    before = Path(f"{root}/cgroup.procs").read_text().split()
    group = host.at(parent, "abc")
    group.create()
    try:
        here = set(_text(group, "cgroup.controllers").split())
        assert {"cpu", "cpuset", "io", "memory", "pids"} <= here
        assert set(before) & set(Path(f"{root}/cgroup.procs").read_text().split())
        assert Path(f"{root}/{parent}/memory.max").read_text().strip() == "max"
        assert stat.S_IMODE(os.stat(f"{root}/{parent}").st_mode) == 0o755
    finally:
        group.delete()
