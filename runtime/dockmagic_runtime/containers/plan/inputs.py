"""What a plan needs to know about the host and about this start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from dockmagic_runtime.sandbox.operation import Operation

if TYPE_CHECKING:
    from dockmagic_runtime.cgroups import CgroupView
    from dockmagic_runtime.volumes.options import Device


class PlanInputs(Struct, frozen=True, kw_only=True):
    """`lowers` are the overlay's lower directories, topmost first; `etc` the directory with the
    files hosts, hostname and resolv.conf; `rootfs` an empty directory to mount on. The container's
    control group is in `cgroup_parent`, its supervisor's in the area's own, `supervisors`.

    By a mount's target: `sources` are the directories of volumes, `devices` what is mounted for
    those with driver options, `peers` the process, its start and the path of another container
    that has such a volume in memory, `images` the layers of mounted images, topmost first.
    `joined` are pids by the namespace ("net", "pid", "ipc") that is shared with that process.
    `init` is the host's program for `--init`, empty for none or where it is not asked for.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    rootfs: str
    etc: str
    cgroup_parent: str
    supervisors: str
    cgroup_view: CgroupView
    network: tuple[Operation, ...] = ()  # empty: the host's, or a joined one
    joined: dict[str, int] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    peers: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    processors: int = 1
    step_mounts: tuple[Operation, ...] = ()  # of a build's RUN, ready made
    init: str = ""
