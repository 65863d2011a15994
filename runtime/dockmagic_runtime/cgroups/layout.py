"""What control group hierarchies a machine has, read from mountinfo.

Three shapes exist: v2 alone (one tree with all controllers), v1 (a tree for each controller or
pair of them), and hybrid (v1, and beside it a v2 tree that has no controllers but groups
processes: systemd's way). Everything below goes by what is mounted, never by version numbers.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

CONTROLLERS: Final = frozenset(
    """
    blkio cpu cpuacct cpuset devices freezer hugetlb memory misc net_cls net_prio perf_event pids
    rdma
    """.split()
)


class Hierarchy(Struct, frozen=True, kw_only=True):
    """One mounted tree. `controllers` of a v1 tree may be a name, as in `name=systemd`."""

    path: str
    controllers: tuple[str, ...] = ()
    writable: bool = True

    def has(self, controller: str) -> bool:
        return controller in self.controllers


class Layout(Struct, frozen=True, kw_only=True):
    """The trees of one machine. `own` is this process's path in the v2 tree, "/" at its root."""

    legacy: tuple[Hierarchy, ...] = ()
    unified: Hierarchy | None = None
    own: str = "/"

    @classmethod
    def parse(cls, mountinfo: bytes, membership: bytes) -> Layout:
        """From /proc/self/mountinfo and /proc/self/cgroup."""
        legacy: dict[tuple[str, ...], Hierarchy] = {}
        unified: Hierarchy | None = None
        for line in mountinfo.decode(errors="surrogateescape").splitlines():
            fstype, hierarchy = _hierarchy(line)
            if fstype == "cgroup2":
                unified = unified or hierarchy
            elif fstype == "cgroup" and hierarchy.controllers:
                legacy.setdefault(hierarchy.controllers, hierarchy)
        return cls(legacy=tuple(legacy.values()), unified=unified, own=_own_path(membership))

    @property
    def is_legacy(self) -> bool:
        """Do the controllers live in v1 trees?"""
        return any(
            not controller.startswith("name=")
            for hierarchy in self.legacy
            for controller in hierarchy.controllers
        )

    def tree_of(self, controller: str) -> Hierarchy | None:
        """The v1 tree with this controller."""
        return next((tree for tree in self.legacy if tree.has(controller)), None)


def _hierarchy(line: str) -> tuple[str, Hierarchy]:
    """File system type and tree of one line of mountinfo, see proc(5)."""
    mount, _, filesystem = line.partition(" - ")
    fields = mount.split(" ")
    fstype, _, super_options = filesystem.split(" ", 2)
    options = super_options.split(",")
    controllers = (
        option for option in options if option in CONTROLLERS or option.startswith("name=")
    )
    return fstype, Hierarchy(
        path=_unescape(fields[4]),
        controllers=tuple(sorted(controllers)),
        writable="rw" in fields[5].split(",") and "rw" in options,
    )


def _unescape(path: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    for octal in ("\\040", "\\011", "\\012", "\\134"):
        path = path.replace(octal, chr(int(octal[1:], 8)))
    return path


def _own_path(membership: bytes) -> str:
    for line in membership.decode(errors="surrogateescape").splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return path
    return "/"
