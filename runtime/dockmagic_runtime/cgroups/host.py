"""`Cgroups`: what this host's control groups can do for us, and the way to one of our own."""

from __future__ import annotations

import errno
import posixpath
from typing import Final

from msgspec import Struct

from dockmagic_runtime.cgroups.interface import Cgroup
from dockmagic_runtime.cgroups.layout import Hierarchy, Layout
from dockmagic_runtime.cgroups.none import NoCgroup
from dockmagic_runtime.cgroups.v1 import CgroupV1
from dockmagic_runtime.cgroups.v2 import CgroupV2
from dockmagic_runtime.linux.interface import Linux

SUPERVISORS: Final = "supervisors"
_MOUNT_POINT: Final = "/sys/fs/cgroup"
_ATTRIBUTES: Final = ("ro", "nosuid", "nodev", "noexec")


class CgroupMount(Struct, frozen=True, kw_only=True):
    """One file system to mount in a container. `settings` are its own options, `attributes` the
    mount's."""

    fstype: str
    target: str
    settings: tuple[str, ...] = ()
    attributes: tuple[str, ...] = _ATTRIBUTES


class CgroupView(Struct, frozen=True, kw_only=True):
    """How a container sees its own control groups, read-only. The mounts are made in order, then
    the symbolic links (path, target); the first mount is made read-only when all else is done.

    With a cgroup namespace the root of each mount is the container's own group.
    """

    mounts: tuple[CgroupMount, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


class Cgroups:
    """`version` is where the controllers live: 1, 2, or 0 when we may make no group at all."""

    def __init__(self, linux: Linux, layout: Layout) -> None:
        self.layout = layout
        self._linux = linux
        self._base = ""
        self.version = self._find()

    def _find(self) -> int:
        if self.layout.is_legacy:
            return 1 if any(map(self._usable, self.layout.legacy)) else 0
        if self.layout.unified is None:
            return 0
        self._base = self._delegated(self.layout.unified)
        return 2 if self._base else 0

    def _usable(self, tree: Hierarchy) -> bool:
        return tree.writable and self._linux.writable(tree.path)

    def _delegated(self, tree: Hierarchy) -> str:
        """The highest group at or above our own that we may write to: the root as root, and the
        user's own subtree where a service manager has delegated one."""
        if not tree.writable:
            return ""
        if self._linux.writable(tree.path):
            return tree.path
        path = tree.path
        for part in filter(None, self.layout.own.split("/")):
            path = f"{path}/{part}"
            if self._linux.writable(f"{path}/cgroup.procs") and self._linux.writable(path):
                return path
        return ""

    # ------------------------------------------------------------------ groups

    def at(self, parent: str, name: str) -> Cgroup:
        """The group `name` in our parent group `parent`, whether or not it exists."""
        needs_program = self.layout.tree_of("devices") is None
        return self._group(parent, name, hybrid=needs_program)

    def supervisors(self, parent: str) -> Cgroup:
        """The group in which all supervisors of an area live, beside their containers': what
        stops the service that started them does not reach them there. One for all, since it
        limits nothing and so saves making and removing one for each.

        A hybrid systemd stops a service by the v2 tree, so they must leave that too, unless they
        are at its root and so in no service.
        """
        return self._group(parent, SUPERVISORS, hybrid=self.layout.own != "/")

    def _group(self, parent: str, name: str, *, hybrid: bool) -> Cgroup:
        if self.version == 1:
            return CgroupV1(self._linux, self.layout, parent, name, hybrid=hybrid)
        if self.version == 2:
            return CgroupV2(self._linux, self._base, parent, name)
        return NoCgroup()

    def _parents(self, parent: str) -> list[str]:
        """The directory of the parent group in every tree."""
        group = self._group(parent, SUPERVISORS, hybrid=True)
        return [posixpath.dirname(directory) for directory in group.directories]

    def names(self, parent: str) -> tuple[str, ...]:
        """The groups in the parent group, without that of the supervisors."""
        names: set[str] = set()
        for directory in self._parents(parent):
            try:
                names.update(self._linux.subdirectories(directory))
            except FileNotFoundError:
                pass  # the parent group is not in this tree
        return tuple(sorted(names - {SUPERVISORS}))

    def parents_of(self, name: str) -> tuple[str, ...]:
        """Every parent group that has a group `name` in it, wherever it is. Looks at them all."""
        group = self._group("", name, hybrid=False)
        if not group.directories:
            return ()
        top = posixpath.dirname(group.directories[0].replace("//", "/"))
        parents, waiting = [], [top]
        while waiting:
            directory = waiting.pop()
            inside = self._inside(directory)
            if name in inside:
                parents.append(directory[len(top) + 1 :])
            waiting += (f"{directory}/{child}" for child in inside)
        return tuple(sorted(filter(None, parents)))

    def _inside(self, directory: str) -> list[str]:
        try:
            return self._linux.subdirectories(directory)
        except FileNotFoundError:
            return []  # it has just ended

    def prune(self, parent: str) -> None:
        """Remove our parent group if nothing is in it any more; else leave it as it is."""
        for directory in self._parents(parent):
            self._remove_if_empty(f"{directory}/{SUPERVISORS}")
            self._remove_if_empty(directory)

    def _remove_if_empty(self, directory: str) -> None:
        try:
            self._linux.rmdir(directory)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT):
                raise

    # ------------------------------------------------------------------ what it can and shows

    def can_limit_devices(self) -> bool:
        """Can a container be kept from device nodes? Where not, its root must be `nodev`."""
        if self.version == 1:
            return self.layout.tree_of("devices") is not None or self.layout.unified is not None
        return self.version == 2 and self._base == self._root_path()

    def _root_path(self) -> str:
        return self.layout.unified.path if self.layout.unified else ""

    def view(self) -> CgroupView:
        """What to mount in a container so that it sees its own groups where programs look."""
        if not self.layout.is_legacy:
            present = self.layout.unified is not None
            return CgroupView(
                mounts=(CgroupMount(fstype="cgroup2", target=_MOUNT_POINT),) * present
            )
        trees = [(posixpath.basename(tree.path), tree.controllers) for tree in self.layout.legacy]
        return CgroupView(
            mounts=(
                CgroupMount(fstype="tmpfs", target=_MOUNT_POINT, settings=("mode=755",)),
                *(
                    CgroupMount(
                        fstype="cgroup", target=f"{_MOUNT_POINT}/{name}", settings=controllers
                    )
                    for name, controllers in trees
                ),
            ),
            links=tuple(
                (f"{_MOUNT_POINT}/{controller}", name)
                for name, controllers in trees
                for controller in controllers
                if len(controllers) > 1 and controller != name
            ),
        )


def detect(linux: Linux) -> Cgroups:
    """Ask this machine. Two reads; the answer does not change while a process lives."""
    mountinfo = linux.read_file("/proc/self/mountinfo")
    return Cgroups(linux, Layout.parse(mountinfo, linux.read_file("/proc/self/cgroup")))
