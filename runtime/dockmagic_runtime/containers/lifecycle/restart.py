"""`restart`, and the restart policies after a reboot or a killed supervisor."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.lifecycle.stop import stop
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.supervisor.restarts import Restarts
from dockmagic_runtime.supervisor.state import State

# What a start may write to the disk of the data root: three files of /etc, its plan, the state,
# pages of the database: 24 KiB of a small container, more with many variables and mounts.
_BYTES: Final = 256 * 1024
_INODES: Final = 8


def restart(
    starter: Starter, record: Record, *, timeout: float | None = None, signal: str = ""
) -> None:
    """Stops the container, if it runs, and starts it. With --rm it is not removed in between.

    Raises what `start` raises, with Docker's prefix, and OSError on a full disk: then the
    container runs on.
    """
    if Status(starter.store.state(record.id).status).is_alive:
        with _room_for_start(starter.store.directory(record.id)):
            stop(starter.store, record, timeout=timeout, signal=signal, keep=True)
    if record.spec.auto_remove:
        _allow_another_mount(starter.store.directory(record.id))
    try:
        starter.start(record, owned=False).detach()
    except DockmagicError as error:
        error.message = f"Cannot restart container {record.name}: {error.message}"
        raise
    events_of(starter.store, record).emit("restart")


@contextmanager
def _room_for_start(directory: str) -> Iterator[None]:
    """Inside, files without a name keep the room of a start. Raises OSError where there is none."""
    with ExitStack() as files:
        for size in (_BYTES, *[0] * (_INODES - 1)):
            file = files.enter_context(tempfile.TemporaryFile(dir=directory, prefix="restart-"))
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
        yield


def _allow_another_mount(directory: str) -> None:
    """Removes overlay's mark of a `volatile` mount, as of a --rm container.

    Overlay refuses to mount such a layer again, since a crash may have damaged it. Here the
    container was stopped, so there was no crash.
    """
    import shutil

    shutil.rmtree(f"{directory}/work/work/incompat", ignore_errors=True)


def survives_loss(record: Record, lost: State) -> bool:
    """Whether the restart policy starts a container again after its supervisor was killed."""
    policy = record.spec.restart
    restarts = Restarts(policy.name, policy.maximum, lost.restart_count)
    uptime = max(lost.finished - lost.started, 0.0)
    return restarts.after(lost.exit_code, uptime, by_hand=lost.manually_stopped) is not None


def survives_boot(record: Record, now: State) -> bool:
    """Whether the restart policy starts an exited container after a reboot.

    `always` also starts one that was stopped by hand, `unless-stopped` does not.
    """
    if now.status != Status.EXITED:
        return False
    policy = record.spec.restart
    by_hand = now.manually_stopped and policy.name != "always"
    restarts = Restarts(policy.name, policy.maximum, now.restart_count)
    return restarts.after(now.exit_code, 0.0, by_hand=by_hand) is not None
