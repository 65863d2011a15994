"""What mountinfo says about control groups."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.cgroups.layout import Hierarchy, Layout
from dockmagic_runtime.linux.syscalls import Kernel

V2 = (
    b"31 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
)
HYBRID = b"""\
23 27 0:22 / /sys rw,relatime shared:7 master:1 - sysfs sysfs rw
31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,clone_children,memory
36 31 0:33 / /sys/fs/cgroup/pids ro,relatime - cgroup cgroup rw,pids
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup ro,freezer
"""
MEMBERSHIP = b"9:name=systemd:/a.slice\n8:pids:/b\n0::/user.slice/user-1000.slice/x.scope\n"


def test_version_2_alone_is_one_tree() -> None:
    layout = Layout.parse(V2, b"0::/init.scope\n")
    assert layout == Layout(unified=Hierarchy(path="/sys/fs/cgroup"), own="/init.scope")
    assert not layout.is_legacy


def test_hybrid_has_both_kinds() -> None:
    layout = Layout.parse(HYBRID, MEMBERSHIP)
    assert layout.is_legacy
    assert layout.unified == Hierarchy(path="/sys/fs/cgroup/unified")
    assert layout.own == "/user.slice/user-1000.slice/x.scope"
    assert [hierarchy.controllers for hierarchy in layout.legacy] == [
        ("name=systemd",),
        ("cpu", "cpuacct"),
        ("memory",),
        ("pids",),
        ("freezer",),
    ]


def test_controllers_that_share_a_tree_are_found_under_each_name() -> None:
    layout = Layout.parse(HYBRID, MEMBERSHIP)
    assert layout.tree_of("cpu") is layout.tree_of("cpuacct") is not None
    assert layout.tree_of("cpuset") is None


def test_a_tree_is_writable_if_neither_the_mount_nor_the_file_system_is_read_only() -> None:
    layout = Layout.parse(HYBRID, MEMBERSHIP)
    assert {hierarchy.controllers[0]: hierarchy.writable for hierarchy in layout.legacy} == {
        "name=systemd": True,
        "cpu": True,
        "memory": True,
        "pids": False,
        "freezer": False,
    }


def test_a_tree_that_is_mounted_twice_is_the_first() -> None:
    twice = HYBRID + b"50 1 0:32 / /mnt/memory rw - cgroup cgroup rw,memory\n"
    memory = Layout.parse(twice + V2, b"").tree_of("memory")
    assert memory is not None
    assert memory.path == "/sys/fs/cgroup/memory"


def test_a_named_tree_beside_version_2_does_not_make_it_legacy() -> None:
    named = b"33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    assert not Layout.parse(V2 + named, b"").is_legacy


def test_escaped_paths_are_read() -> None:
    line = b"31 23 0:26 / /mnt/a\\040b\\134c rw - cgroup2 cgroup2 rw\n"
    unified = Layout.parse(line, b"").unified
    assert unified is not None
    assert unified.path == "/mnt/a b\\c"


def test_a_machine_without_control_groups_has_none() -> None:
    assert Layout.parse(b"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n", b"") == Layout()


mount_lines = st.lists(
    st.builds(
        "{} {} 0:{} / {} {} {}- {} src {}".format,
        st.integers(1, 999),
        st.integers(1, 999),
        st.integers(1, 99),
        st.sampled_from(["/a", "/sys/fs/cgroup/cpu", "/x\\040y"]),
        st.sampled_from(["rw", "ro,nosuid", "rw,relatime"]),
        st.sampled_from(["", "shared:1 ", "shared:1 master:2 "]),
        st.sampled_from(["cgroup", "cgroup2", "tmpfs", "fuse.x"]),
        st.sampled_from(["rw", "rw,cpu", "rw,name=x,memory", "ro,pids", "rw,lowerdir=/a - b"]),
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(mount_lines)
def test_every_tree_that_is_found_stands_in_mountinfo(lines: list[str]) -> None:
    layout = Layout.parse("\n".join(lines).encode(), b"")
    for tree in layout.legacy:
        assert tree.controllers
        assert any(f" {tree.path}".replace("x y", "x\\040y") in line for line in lines)
    assert (layout.unified is not None) == any("- cgroup2 " in line for line in lines)


def test_this_machine_can_be_asked() -> None:
    host = detect(Kernel())
    assert host.version in (0, 1, 2)
    if host.version == 1:
        assert host.layout.is_legacy
