"""Crash recovery: adopts running containers without a supervisor, cleans up after dead ones.

Runs before an engine's first start, and whenever a container turns out to have lost its
supervisor. All of it is idempotent and safe while other processes work on the same data root: a
held lock says that a live process owns something.

The first start of every command runs it, and mostly nothing is lost: what only a lost container or
a reboot needs is imported then.
"""

from __future__ import annotations

import os
import signal
import time
from _thread import RLock  # the one of `threading`, which takes a millisecond to load
from contextlib import suppress

from msgspec.structs import replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle import boot
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.store import container_process, locks
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.scratch import in_trash, sweep
from dockmagic_runtime.supervisor import state

_ATTEMPTS = 5  # to start another supervisor, before the program is killed
_BETWEEN = 0.01  # seconds, longer each time
_YOUNG = 10.0  # seconds
_ABANDONED = 24 * 3600.0  # seconds after which a scratch entry has no owner


class Recovery:
    """Recovers the containers of one data root, for one engine."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._store = starter.store
        self._networks = starter.networks
        self._cgroups = starter.cgroups
        self._recovering: set[str] = set()
        self._mutex = RLock()

    def run(self) -> None:
        """Recovers lost containers, starts those that a reboot has ended, sweeps leftovers."""
        is_new_boot = boot.record(self._store.data_root, self._store.database)
        for record in reversed(self._store.records()):  # a container is linked to older ones
            now = self._store.last_state(record.id)
            if now.lost:
                self.on_supervisor_lost(record.id)
            elif is_new_boot and _survives_boot(record, now):
                self._start(record)
        self._sweep_runs()
        self._sweep_directories()
        self._networks.sweep()

    def _start(self, record: Record) -> None:
        """Starts the container; a failure is written to its state, where `inspect` shows it."""
        try:
            self._starter.start(record, owned=False).detach()
        except (DockmagicError, OSError) as error:
            directory = self._store.directory(record.id)
            if not container_process.has_supervisor(self._store.run(record.id)):
                with suppress(FileNotFoundError):  # removed meanwhile
                    state.change(directory, error=str(error), sync=True)

    def on_supervisor_lost(self, container_id: str) -> None:
        """Recovers a container after its supervisor was killed: a program that still runs gets
        another supervisor, else the container's end is recorded."""
        with self._mutex:
            if container_id in self._recovering:
                return  # recovering it looks at other containers, which may lead back to it
            self._recovering.add(container_id)
            try:
                record = self._store.find_by_id(container_id)
                if record is not None:  # else it was removed meanwhile
                    self._recover(record)
            except OSError as error:
                if error.errno not in DISK_UNWRITABLE:
                    raise  # else its state says that it is lost, until the disk can be written
            finally:
                self._recovering.discard(container_id)

    def _recover(self, record: Record) -> None:
        run = self._store.run(record.id)
        if container_process.has_supervisor(run):
            return  # another process has recovered it while this one waited
        problem = self._adopt(record, run)
        if not container_process.has_supervisor(run):
            self._finalize_dead(record, problem)

    def _adopt(self, record: Record, run: str) -> str:
        """Starts another supervisor for a program that still runs.

        Returns why that failed; empty when the program has one, or has ended. The reason is not
        written to the state here: only the holder of the lock may write it.
        """
        from dockmagic_runtime.containers.lifecycle import takeover

        problem = ""
        for attempt in range(_ATTEMPTS):  # the new supervisor may be killed too
            time.sleep(_BETWEEN * attempt)
            program = container_process.survivor(run)
            if program is None or container_process.has_supervisor(run):
                return ""
            try:
                takeover.adopt(self._starter, record, program)
            except (DockmagicError, OSError) as error:
                problem = _takeover_problem(error)
            else:
                self._networks.repair()
                return ""
        return problem if container_process.survivor(run) else ""

    def _finalize_dead(self, record: Record, problem: str) -> None:
        """Ends what the supervisor has left and writes the container's last state and `problem`.

        The restart policy then decides as after any other end. On a full disk the state is written
        at the next lookup; until then the container can be removed, which frees space.
        """
        from dockmagic_runtime.containers.lifecycle.restart import survives_loss
        from dockmagic_runtime.network.port_proxy import process_record

        run = self._store.run(record.id)
        fd = locks.acquire(f"{run}/lock") if os.path.isdir(run) else None
        if fd is None and os.path.isdir(run):
            return  # another process has started it again meanwhile
        if fd is not None and not problem and container_process.survivor(run):
            os.close(fd)
            return  # the process that held the lock was killed too: left to the next lookup
        try:
            directory = self._store.directory(record.id)
            written = state.load(directory)  # without asking for the lock, which is held here
            if not Status(written.status).is_alive and not written.damage:
                return  # another process has finalized it meanwhile
            self._end_cgroup(self._store.cgroup_parent(record), record.id)
            container_process.kill(run)  # hosts without usable control groups
            process_record.end(run)  # it ends by itself, but the next start needs the ports now
            networks = self._networks.forget_endpoints(record.id, written.networks)
            now = replace(state.lost(written), finished=time.time(), lost=False, damage="")
            now = replace(now, error=problem or written.damage or now.error)
            if not _write(directory, now):
                return
            self._networks.release(record.id)
            self._emit_end(record, networks, now.started)
        finally:
            if fd is not None:
                remove_tree(run)
                os.close(fd)
        self._networks.repair()
        if survives_loss(record, now):
            self._start(record)
        if record.spec.auto_remove:
            from dockmagic_runtime.containers.lifecycle.remove import discard
            from dockmagic_runtime.volumes.unused import remove_unused

            root = self._store.data_root.path
            remove_unused(root, record.anonymous_volumes, container_id=record.id)
            if discard(self._store, record.id):
                events_of(self._store, record).emit("destroy")

    def _emit_end(
        self, record: Record, networks: tuple[tuple[str, str, str], ...], started: float
    ) -> None:
        """Emits the events that the dead supervisor would have emitted."""
        events = events_of(self._store, record, networks)
        events.die(128 + signal.SIGKILL, time.time() - started)
        events.disconnected()

    def _end_cgroup(self, parent: str, container_id: str) -> None:
        cgroup = self._cgroups.at(parent, container_id)
        if cgroup.exists():
            cgroup.kill_all()
            cgroup.delete()

    def _sweep_runs(self) -> None:
        """Removes run directories and cgroups of containers and build steps without a supervisor.

        A young directory is spared: its supervisor may be about to take the lock.
        """
        run, parent = self._store.data_root.run_path, self._store.data_root.cgroup_parent
        for name in os.listdir(run):
            path = f"{run}/{name}"
            if _is_id(name) and not self._is_alive(name, path) and _is_older(path, _YOUNG):
                self._sweep_run(name, path)
        for container_id in self._cgroups.names(parent):
            if not os.path.exists(f"{run}/{container_id}"):  # created before the cgroup
                self._end_cgroup(parent, container_id)

    def sweep_removed(self, container_id: str) -> None:
        """Sweeps what a removed container has left, if its start process was killed."""
        path = self._store.run(container_id)
        if os.path.isdir(path) and not self._is_alive(container_id, path):
            self._sweep_run(container_id, path)

    def _sweep_run(self, container_id: str, path: str) -> None:
        container_process.kill(path)
        # all parents, because the --cgroup-parent of a build step is recorded nowhere
        for parent in self._cgroups.parents_of(container_id):
            self._end_cgroup(parent, container_id)
        self._networks.forget_everywhere(container_id)
        _remove(path)

    def _is_alive(self, name: str, run: str) -> bool:
        """Whether a supervisor runs, or a program without one that belongs to an existing row."""
        if container_process.has_supervisor(run):
            return True
        return container_process.survivor(run) is not None and bool(self._store.find_by_id(name))

    def _rows(self) -> set[str]:
        rows = self._store.database.rows("SELECT id FROM containers")
        return {container_id for (container_id,) in rows}

    def _sweep_directories(self) -> None:
        """Removes directories of containers without a row, and old scratch entries.

        Rows and directories are created inside one transaction, so the transaction here sees both.
        """
        directories = set(os.listdir(self._store.data_root.containers_path))
        orphans = directories - self._rows()
        if orphans:  # else no transaction: most openings find none
            with self._store.database.transaction() as connection:
                orphans -= self._rows()
                orphans -= {each for each in orphans if self._store.restore(connection, each)}
        for entry in orphans:
            _remove(self._store.directory(entry))
        scratch = self._store.data_root.scratch_path
        for name in in_trash(scratch):
            if _is_id(name) and name not in directories:
                self._store.forget(name)  # whatever removed it was killed before its row was gone
        sweep(scratch)
        for name in os.listdir(scratch):
            if _is_older(f"{scratch}/{name}", _ABANDONED):
                _remove(f"{scratch}/{name}")


# Engines that open at the same time sweep at the same time: a missing entry was swept by another.


def _survives_boot(record: Record, now: state.State) -> bool:
    from dockmagic_runtime.containers.lifecycle.restart import survives_boot

    return survives_boot(record, now)


def _takeover_problem(error: Exception) -> str:
    return f"its supervisor was killed, and no other could take over: {error}"


def _write(directory: str, now: state.State) -> bool:
    """Whether it is written: not on a full disk, nor where the container was removed meanwhile."""
    try:
        state.write(directory, now, sync=True)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in DISK_UNWRITABLE:
            return False
        raise
    return True


def _is_older(path: str, seconds: float) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > seconds
    except FileNotFoundError:
        return False


def _remove(path: str) -> None:
    try:
        remove_tree(path)
    except FileNotFoundError:
        pass


def _is_id(name: str) -> bool:
    return len(name) == 64 and all(digit in "0123456789abcdef" for digit in name)
