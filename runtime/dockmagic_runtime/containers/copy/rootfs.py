"""A container's root file system as one descriptor, whether the container runs or not.

Of a running container the supervisor passes the root, with all its mounts. Otherwise an overlay is
mounted: with volumes in a mount namespace of its own, else detached. A reader gets an overlay
without a writable layer, so any number may read and the container may start meanwhile. A writer
mounts the container's writable layer and holds `tree.lock`: a start waits for the lock, since two
overlays on one layer are undefined behaviour.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.containers.lifecycle.start import Starter, make_bind_sources
from dockmagic_runtime.containers.plan import filesystem
from dockmagic_runtime.containers.plan.inputs import PlanInputs
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import Conflict, NotFound, StartFailed
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.transitions import Action, check
from dockmagic_runtime.sandbox.mounts import MakeMountsPrivate, MountOverlay, PivotRoot
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.overlay import mount_overlay
from dockmagic_runtime.sandbox.scratch import MountScratchOverlay
from dockmagic_runtime.sandbox.user_mounts import BindMount
from dockmagic_runtime.store import locks
from dockmagic_runtime.supervisor import rootfs as supervisor_tree

_ATTEMPTS: Final = 200
_PAUSE: Final = 0.005  # seconds


class Tree(Struct, Closing):
    """`root` and the resources that it needs. A context manager; `close` is idempotent."""

    root: Root
    _held: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        self.root.close()
        self._held.close()


def open_tree(
    starter: Starter, record: Record, *, mounts: bool = True, writable: bool = False
) -> Tree:
    """The container's files; without `mounts` those of its image and writable layer only.

    Raises Conflict while the container restarts, NotFound when it was removed meanwhile.
    """
    try:
        for _ in range(_ATTEMPTS):
            if _is_alive(starter, record):
                try:
                    return _running(starter, record, mounts)
                except Conflict:
                    time.sleep(_PAUSE)  # it has ended; its state is about to change
            elif not writable:
                return _stopped_to_read(starter, record, mounts)
            elif (tree := _stopped_to_write(starter, record)) is not None:
                return tree
    except FileNotFoundError as error:
        if os.path.isdir(starter.store.directory(record.id)):
            raise
        raise NotFound(f"No such container: {record.name}") from error
    raise Conflict(f"Container {record.id} starts and ends too fast to be looked into")


def _is_alive(starter: Starter, record: Record) -> bool:
    status = Status(starter.store.state(record.id).status)
    check(Action.COPY, status, id=record.id)
    return status.is_alive


def _running(starter: Starter, record: Record, mounts: bool) -> Tree:
    run = starter.store.run(record.id)
    return Tree(Root(supervisor_tree.ask(run, record.id, mounts=mounts)))


def _stopped_to_read(starter: Starter, record: Record, mounts: bool) -> Tree:
    upper = starter.store.writable_layer(record)
    lowers = (upper, *starter.lowers(record.layers))
    if mounts and record.mounts:
        return _with_mounts(
            starter, record, MountScratchOverlay(lowers=lowers, target=starter.rootfs)
        )
    linux = Kernel()
    return Tree(Root(mount_overlay(linux, lowers, "", "", target=starter.rootfs), linux))


def _stopped_to_write(starter: Starter, record: Record) -> Tree | None:
    """None when the container was started, or lost its supervisor, while this process waited.

    A lost container is recovered after the lock is released, since recovery may start it, and a
    start takes the lock.
    """
    store = starter.store
    store.writable_layer(record)  # raises when it is lost
    with ExitStack() as held:
        lock = locks.acquire(store.tree_lock(record.id), wait=True)
        assert lock is not None
        held.callback(os.close, lock)
        now = store.last_state(record.id)
        if now.lost or Status(now.status).is_alive:
            return None
        tree = _writable(starter, record, store.upper(record.id), store.work(record.id))
        tree._held.push(held.pop_all())
        return tree


def _writable(starter: Starter, record: Record, upper: str, work: str) -> Tree:
    lowers = starter.lowers(record.layers)
    if record.mounts:
        overlay = MountOverlay(lowers=lowers, upper=upper, work=work, target=starter.rootfs)
        return _with_mounts(starter, record, overlay)
    linux = Kernel()
    return Tree(Root(mount_overlay(linux, lowers, upper, work, target=starter.rootfs), linux))


def _with_mounts(starter: Starter, record: Record, overlay: Operation) -> Tree:
    make_bind_sources(record)
    operations = (MakeMountsPrivate(), overlay, *_mounts(starter, record), PivotRoot())
    try:
        root, namespace = starter.launcher.open_tree(operations)
    except StartFailed as error:
        raise Conflict(error.message, hint=error.hint) from error
    tree = Tree(Root(root))
    tree._held.callback(os.close, namespace)
    return tree


def _mounts(starter: Starter, record: Record) -> list[Operation]:
    """Volumes and bind mounts, and the /etc files once they exist. A tmpfs would be empty."""
    kept = tuple(mount for mount in record.mounts if mount.kind != "tmpfs")
    # shared namespaces do not matter for files, and their containers may be gone
    spec = replace(record.spec, network="none", pid_mode="", ipc_mode="")
    inputs = _plan_inputs(starter, replace(record, mounts=kept, spec=spec))
    mounts = filesystem.mounts(replace(record, mounts=kept), inputs)
    present = [mount for mount in mounts if not _is_missing(mount, inputs.etc)]
    return [*filesystem.volume_sources(inputs), *present]


def _plan_inputs(starter: Starter, record: Record) -> PlanInputs:
    directory = starter.store.directory(record.id)
    return starter.plan_inputs(record, None, upper="", work="", etc=directory, joined={})


def _is_missing(operation: Operation, etc: str) -> bool:
    return (
        isinstance(operation, BindMount)
        and operation.source.startswith(f"{etc}/")
        and not os.path.exists(operation.source)
    )
