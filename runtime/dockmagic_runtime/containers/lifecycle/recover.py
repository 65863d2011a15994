"""Seeing to what supervisors that were killed have left, and calls that died half-way.

Run when an engine opens and whenever a container turns out to be lost. Everything here is
idempotent and safe while other processes work on the same area: what belongs to somebody who is
alive is told by a lock, never guessed.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from msgspec.structs import replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle import takeover
from dockmagic_runtime.containers.lifecycle.remove import discard
from dockmagic_runtime.containers.lifecycle.restart import survives_boot, survives_loss
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.network.port_proxy import process_record
from dockmagic_runtime.store import container_process, locks
from dockmagic_runtime.store.atomic import write_file
from dockmagic_runtime.supervisor import state
from dockmagic_runtime.volumes.unused import remove_unused

_ATTEMPTS = 5  # to give a program another supervisor, before it is ended
_BETWEEN = 0.01  # seconds, longer each time
_YOUNG = 10.0  # seconds
_ABANDONED = 24 * 3600.0  # seconds after which a scratch entry is nobody's


class Reconciler:
    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._store = starter.store
        self._networks = starter.networks
        self._cgroups = starter.cgroups
        self._attended: set[str] = set()
        self._mutex = threading.RLock()

    def run(self) -> None:
        """See to who is lost, sweep what nobody owns, start what comes back after a reboot."""
        is_new_boot = _is_new_boot(self._store)
        for record in reversed(self._store.records()):  # who is linked is older
            now = self._store.last_state(record.id)
            if now.lost:
                self.attend(record.id)
            elif is_new_boot and survives_boot(record, now):
                self._start(record)
        self._sweep_runs()
        self._sweep_directories()
        self._networks.sweep()

    def _start(self, record: Record) -> None:
        """What keeps it from starting is in its state; whoever asks for it can read it there."""
        try:
            self._starter.start(record, owned=False).detach()
        except (DockmagicError, OSError) as error:
            directory = self._store.directory(record.id)
            if not container_process.has_supervisor(self._store.run(record.id)):
                state.change(directory, error=str(error))

    def attend(self, container_id: str) -> None:
        """Its supervisor was killed: a program that runs on gets another one, else it is over."""
        with self._mutex:
            if container_id in self._attended:
                return  # to see to it we look at others, and they may make us look at it
            self._attended.add(container_id)
            try:
                record = self._store.find_by_id(container_id)
                if record is not None:  # else somebody has removed it meanwhile
                    self._see_to(record)
            finally:
                self._attended.discard(container_id)

    def _see_to(self, record: Record) -> None:
        run = self._store.run(record.id)
        if container_process.has_supervisor(run):
            return  # somebody has seen to it while we waited
        why_not = self._adopt(record, run)
        if not container_process.has_supervisor(run):
            self._bury(record, why_not)

    def _adopt(self, record: Record, run: str) -> str:
        """Why a program that runs on has no supervisor now; empty when it has one, or has ended.

        Not written down here: the state is that of who has the lock, by now maybe another.
        """
        why = ""
        for attempt in range(_ATTEMPTS):  # who takes over may be killed like who was before
            time.sleep(_BETWEEN * attempt)
            program = container_process.survivor(run)
            if program is None or container_process.has_supervisor(run):
                return ""
            try:
                takeover.adopt(self._starter, record, program)
            except (DockmagicError, OSError) as error:
                why = _unattended(error)
            else:
                self._networks.repair()
                return ""
        return why if container_process.survivor(run) else ""

    def _bury(self, record: Record, why: str) -> None:
        """End what its supervisor has left and write the container's last state, and `why`.

        Then its restart policy decides, as if it had ended by itself. On a full disk all that
        waits for the next look: it can be removed, which makes room.
        """
        run = self._store.run(record.id)
        fd = locks.acquire(f"{run}/lock") if os.path.isdir(run) else None
        if fd is None and os.path.isdir(run):
            return  # somebody has started it again meanwhile
        if fd is not None and not why and container_process.survivor(run):
            os.close(fd)
            return  # who had it when we looked was killed too: that is for the next look
        try:
            directory = self._store.directory(record.id)
            written = state.load(directory)  # not asked for its lock: that is ours now
            if not Status(written.status).is_alive:
                return  # somebody has buried it meanwhile
            self._end_cgroup(self._store.cgroup_parent(record), record.id)
            container_process.kill(run)  # it may be in no group, where this host lets us have none
            process_record.end(run)  # it would soon, but its next start wants the ports at once
            networks = self._networks.forget_endpoints(record.id, written.networks)
            now = replace(state.lost(written), finished=time.time(), lost=False)
            now = replace(now, error=why or now.error)
            if not _write(directory, now):
                return
            self._networks.release(record.id)
            self._tell_the_end(record, networks, now.started)
        finally:
            if fd is not None:
                remove_tree(run)
                os.close(fd)
        self._networks.repair()
        if survives_loss(record, now):
            self._start(record)
        if record.spec.auto_remove:
            root = str(self._store.data_root.root)
            remove_unused(root, record.anonymous_volumes, container_id=record.id)
            if discard(self._store, record.id):
                events_of(self._store, record).emit("destroy")

    def _tell_the_end(
        self, record: Record, networks: tuple[tuple[str, str, str], ...], started: float
    ) -> None:
        """What its supervisor cannot tell any more."""
        events = events_of(self._store, record, networks)
        events.die(128 + signal.SIGKILL, time.time() - started)
        events.disconnected()

    def _end_cgroup(self, parent: str, container_id: str) -> None:
        cgroup = self._cgroups.at(parent, container_id)
        if cgroup.exists():
            cgroup.kill_all()
            cgroup.delete()

    def _sweep_runs(self) -> None:
        """Run directories and cgroups of containers and build steps whose supervisor is gone.

        A young directory may be that of a supervisor which is about to take its lock.
        """
        run, parent = self._store.data_root.run, self._store.data_root.cgroup_parent
        for name in os.listdir(run):
            path = f"{run}/{name}"
            if _is_id(name) and not self._is_alive(name, path) and _is_older(path, _YOUNG):
                container_process.kill(path)
                for other in self._cgroups.parents_of(name):  # a step's --cgroup-parent is not kept
                    self._end_cgroup(other, name)
                self._networks.forget_everywhere(name)
                _remove(path)
        for container_id in self._cgroups.names(parent):
            if not (run / container_id).exists():  # it is made before the cgroup
                self._end_cgroup(parent, container_id)

    def _is_alive(self, name: str, run: str) -> bool:
        """A program that runs on without a supervisor is somebody's as long as it has a row."""
        if container_process.has_supervisor(run):
            return True
        return container_process.survivor(run) is not None and bool(self._store.find_by_id(name))

    def _sweep_directories(self) -> None:
        """Containers without a row, and old scratch. Rows are made inside a transaction."""
        with self._store.database.transaction() as connection:
            rows = {row[0] for row in connection.execute("SELECT id FROM containers")}
            orphans = [
                entry for entry in os.listdir(self._store.data_root.containers) if entry not in rows
            ]
        for entry in orphans:
            _remove(self._store.directory(entry))
        scratch = self._store.data_root.scratch
        for name in os.listdir(scratch):
            if _is_older(f"{scratch}/{name}", _ABANDONED):
                _remove(f"{scratch}/{name}")


# Engines that open at the same time sweep at the same time: what one finds gone, another took.


def _unattended(error: Exception) -> str:
    return f"its supervisor was killed, and no other could take over: {error}"


def _write(directory: str, now: state.State) -> bool:
    try:
        state.write(directory, now)
    except OSError as error:
        if error.errno in state.DISK_UNWRITABLE:
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


def _is_new_boot(store: ContainerStore) -> bool:
    """Whether nobody has opened this area since the machine, or what /run is, was started.

    Told by the kernel's boot id and the run directory's inode, which the last engine has noted.
    """
    found = os.stat(store.data_root.run)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        now = f"{stream.read().strip()} {found.st_dev}:{found.st_ino}"
    noted = f"{store.data_root.root}/boot"
    if _text(noted) == now:
        return False
    with store.database.transaction():  # one engine only sees to it
        if _text(noted) == now:
            return False
        write_file(noted, now.encode("ascii"))
    return True


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
