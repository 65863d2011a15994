"""`restart`, and which containers come back by themselves after a reboot or a killed supervisor."""

from __future__ import annotations

import shutil

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.lifecycle.stop import stop
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.supervisor.restarts import Restarts
from dockmagic_runtime.supervisor.state import State


def restart(
    starter: Starter, record: Record, *, timeout: float | None = None, signal: str = ""
) -> None:
    """Stop it, if it runs, and start it. A container of --rm is not removed in between.

    Raises what a start does, and says so.
    """
    stop(starter.store, record, timeout=timeout, signal=signal, keep=True)
    if record.spec.auto_remove:
        _allow_another_mount(starter.store.directory(record.id))
    try:
        starter.start(record, owned=False).detach()
    except DockmagicError as error:
        error.message = f"Cannot restart container {record.name}: {error.message}"
        raise
    events_of(starter.store, record).emit("restart")


def _allow_another_mount(directory: str) -> None:
    """Overlay marks a layer that it mounted `volatile`, as that of a --rm container, and refuses it
    the next time, since a crash might have left anything in it. There was no crash."""
    shutil.rmtree(f"{directory}/work/work/incompat", ignore_errors=True)


def survives_loss(record: Record, lost: State) -> bool:
    """Whether a container whose supervisor was killed is started again: as if it had ended."""
    policy = record.spec.restart
    restarts = Restarts(policy.name, policy.maximum, lost.restart_count)
    uptime = max(lost.finished - lost.started, 0.0)
    return restarts.after(lost.exit_code, uptime, by_hand=lost.manually_stopped) is not None


def survives_boot(record: Record, now: State) -> bool:
    """Whether a container that had ended before a reboot is started after it: `always` even if
    somebody had stopped it, unlike `unless-stopped`."""
    if now.status != Status.EXITED:
        return False
    policy = record.spec.restart
    by_hand = now.manually_stopped and policy.name != "always"
    restarts = Restarts(policy.name, policy.maximum, now.restart_count)
    return restarts.after(now.exit_code, 0.0, by_hand=by_hand) is not None
