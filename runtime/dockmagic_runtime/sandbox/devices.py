"""Device nodes of the host that a container is given (`--device`, `--privileged`)."""

from __future__ import annotations

import os
import stat
from typing import ClassVar, Final

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation

OOM_SCORE: Final = "/proc/self/oom_score_adj"
Node = tuple[str, str, int, int, int, int, int]  # path, "c" or "b", major, minor, mode, uid, gid


@operation
class MakeDeviceNodes(UndoneByKernel, frozen=True):
    """Nodes in the container's own /dev, after the host's by number: no node of the host is
    bound, so that a change of its mode or owner inside stays inside."""

    calls: ClassVar[tuple[str, ...]] = ("mknodat", "fchownat")

    nodes: tuple[Node, ...]

    def describe(self) -> str:
        return f"make the device nodes {' '.join(node[0] for node in self.nodes)}"

    def execute(self, context: Context) -> None:
        for path, kind, major, minor, mode, uid, gid in self.nodes:
            self._make(context, path, kind, os.makedev(major, minor), mode, uid, gid)

    @staticmethod
    def _make(
        context: Context, path: str, kind: str, number: int, mode: int, uid: int, gid: int
    ) -> None:
        if context.root is None:
            raise EngineBug("device nodes are made after the root is mounted")
        os.close(context.root.mkdirs(os.path.dirname(path)))
        parent, name = context.root.open_parent(path)
        try:
            form = stat.S_IFCHR if kind == "c" else stat.S_IFBLK
            try:
                context.linux.mknod(name, form | mode, number, dir_fd=parent)
            except FileExistsError:
                return  # one of the standard devices, or given twice
            os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)


@operation
class SetOomScore(UndoneByKernel, frozen=True):
    """`--oom-score-adj`: inherited by everything that runs inside."""

    calls: ClassVar[tuple[str, ...]] = (f"write {OOM_SCORE}",)

    adjustment: int

    def describe(self) -> str:
        return f"let the kernel's out-of-memory killer add {self.adjustment} to the score"

    def execute(self, context: Context) -> None:
        context.linux.write_file(OOM_SCORE, str(self.adjustment).encode())
