"""`stop`, `kill`, `wait`, `pause` and `unpause`: requests to the supervisor."""

from __future__ import annotations

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.attach import rejoined
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.supervisor.engine_client import signal_number

DEFAULT_GRACE = 10.0  # seconds; docker stop


def stop(
    store: ContainerStore,
    record: Record,
    *,
    timeout: float | None = None,
    signal: str = "",
    keep: bool = False,
) -> None:
    """Sends the stop signal, waits, then kills. Does nothing when the container does not run.

    `timeout` is in seconds; a negative one waits without limit. `keep`: --rm does not remove it.
    """
    if not Status(store.state(record.id).status).is_alive:
        return
    name = signal or record.stop_signal
    signal_number(name)  # raises for an unknown signal
    grace = timeout if timeout is not None else record.spec.stop_timeout
    stop_timeout = DEFAULT_GRACE if grace is None else grace
    try:
        process = store.connect(record.id)
    except Conflict:
        return  # it has ended meanwhile
    try:
        process.stop(name, None if stop_timeout < 0 else stop_timeout, keep=keep)
    finally:
        process.close()
    if process.was_lost:  # the supervisor was killed: ask the next one
        stop(store, record, timeout=timeout, signal=signal, keep=keep)
    else:
        events_of(store, record).emit("stop")


def kill(store: ContainerStore, record: Record, signal: str) -> None:
    """Sends a signal to pid 1. Raises Conflict when the container does not run."""
    number = signal_number(signal)
    try:
        process = store.connect(record.id)
    except Conflict as error:
        raise Conflict(f"cannot kill container: {record.name}: {error.message}") from error
    try:
        process.request("signal", number=number)
        if number == signal_number("KILL"):
            process.wait()
    except Conflict:
        if not process.was_lost:
            raise
    finally:
        process.close()
    if process.was_lost and Status(store.state(record.id).status).is_alive:
        kill(store, record, signal)  # ask the next supervisor


def wait(store: ContainerStore, record: Record, *, timeout: float | None = None) -> int:
    """Blocks until the container does not run; returns its exit code. Raises TimeoutError."""
    try:
        process = store.connect(record.id)
    except Conflict:
        return store.state(record.id).exit_code
    process.hooks.reconnect = lambda: rejoined(store, record)
    try:
        code = process.wait(timeout)
    finally:
        process.close()
    # a supervisor that was ending during the connect has written its last state before
    return store.state(record.id).exit_code if process.was_lost else code


def set_paused(store: ContainerStore, record: Record, *, paused: bool) -> None:
    """Freezes or thaws all processes of the container."""
    process = store.connect(record.id)
    try:
        process.request("pause" if paused else "unpause")
    finally:
        process.close()
