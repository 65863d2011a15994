"""`ContainerStore`: which containers exist, and the current state of each.

A container exists while it has a row in the database; the supervisor's lock and state file say
whether it runs (`supervisor.state`). A row without a directory belongs to a container that its
supervisor has removed (`--rm`): the next lookup deletes the row. Without `--rm` the directory was
lost by a fault: the container is listed as damaged until it is removed.
"""

from __future__ import annotations

import os
import posixpath
import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import Container, PortMapping, Status
from dockmagic_runtime.model.names import require_name
from dockmagic_runtime.model.suggest import did_you_mean
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.scratch import trash_path
from dockmagic_runtime.supervisor import state
from dockmagic_runtime.supervisor.state import State

if TYPE_CHECKING:
    from dockmagic_runtime.supervisor.engine_client import ContainerProcess

_ATTEMPTS: Final = 10
_BETWEEN: Final = 0.01  # seconds


class ContainerStore:
    def __init__(self, data_root: DataRoot, database: Database) -> None:
        self.data_root = data_root
        self.database = database
        # both set by the engine, and called with a container's id
        self.on_supervisor_lost: Callable[[str], None] | None = None  # recovers it
        self.on_start_killed: Callable[[str], None] | None = None  # sweeps what the start left

    def find(self, name: str) -> Record:
        """Finds a container by full id, name or unique prefix of an id, in this order.

        Raises NotFound; InvalidInput for a prefix of several ids and for an empty name.
        """
        require_name("container", name)
        wanted = name.removeprefix("/")
        row = self.database.row(
            "SELECT spec, id FROM containers WHERE id = ? OR name = ? ORDER BY id = ? DESC LIMIT 1",
            wanted,
            wanted,
            wanted,
        )
        record = self._present(row) if row else self._find_otherwise(wanted)
        if record is None:
            raise NotFound(f"No such container: {name}", hint=self._near(wanted))
        return record

    def _find_otherwise(self, wanted: str) -> Record | None:
        """Finds it by a prefix of its id, or as `parent/alias` by the parent's link."""
        parent, slash, alias = wanted.partition("/")
        if not slash:
            return self._find_by_prefix(wanted)
        targets = (link[1] for link in self.find(parent).links if link[0] == alias)
        return self.find_by_id(next(targets, ""))

    def _find_by_prefix(self, prefix: str) -> Record | None:
        if not prefix or not all(digit in "0123456789abcdef" for digit in prefix):
            return None
        rows = self.database.rows(
            "SELECT spec, id FROM containers WHERE id >= ? AND id < ? LIMIT 2", prefix, f"{prefix}g"
        )
        if len(rows) > 1:
            raise InvalidInput(f"multiple IDs found with provided prefix: {prefix}")
        return self._present(rows[0]) if rows else None

    def _present(self, row: tuple[str, str]) -> Record | None:
        """The record; None for a container that was removed. That of `--rm` loses its row here."""
        record = self._decoded(row)
        if os.path.isdir(self.directory(record.id)):
            return record
        if record.spec.auto_remove:
            self.forget(record.id)
            return None
        return None if self._is_removed(record.id) else record

    def _is_removed(self, container_id: str) -> bool:
        """Whether a container without a directory is removed, or about to be (see `discard`)."""
        if os.path.isdir(self.trash(container_id)):
            return True
        with self.database.transaction() as connection:  # waits for a removal in another process
            query = "SELECT 1 FROM containers WHERE id = ?"
            return connection.execute(query, (container_id,)).fetchone() is None

    def _decoded(self, row: tuple[str, str]) -> Record:
        """Raises StateDamaged, unless the file beside the database has what the row has lost."""
        try:
            return Record.decode(row[0])
        except ValueError:
            beside = self.database.row_beside("containers", row[1])
        try:
            return Record.decode(beside["spec"])
        except ValueError:
            raise self.database.damaged("containers", row[1]) from None

    def _near(self, wanted: str) -> str:
        names = [name for (name,) in self.database.rows("SELECT name FROM containers")]
        return did_you_mean(wanted, names, 3, otherwise="'docker ps -a' lists them all")

    def find_by_id(self, container_id: str) -> Record | None:
        """None when the container does not exist any more."""
        row = self.database.row("SELECT spec, id FROM containers WHERE id = ?", container_id)
        return self._present(row) if row else None

    def records(self) -> list[Record]:
        """Every container, newest first."""
        rows = self.database.rows("SELECT spec, id FROM containers ORDER BY created DESC, id")
        return [record for row in rows if (record := self._present(row)) is not None]

    def all(self) -> list[tuple[Record, State]]:
        """Every container with its state, newest first."""
        return [(record, self.state(record.id)) for record in self.records()]

    def state(self, container_id: str) -> State:
        """The current state. After the death of its supervisor the container is recovered first."""
        now = self.last_state(container_id)
        if now.lost and self.on_supervisor_lost is not None:
            self.on_supervisor_lost(container_id)
            now = self.last_state(container_id)
        return now

    def last_state(self, container_id: str) -> State:
        """The current state, without recovering the container."""
        now = state.read(self.directory(container_id), self.run(container_id))
        if now.damage or os.path.isdir(self.upper(container_id)):
            return now
        if not os.path.isdir(self.directory(container_id)):
            return now  # removed meanwhile
        damage = "its writable layer is missing: the files that it has written are lost"
        return replace(now, damage=damage)

    def connect(self, container_id: str) -> ContainerProcess:
        """Connects to its supervisor. Raises Conflict for a container that does not run."""
        from dockmagic_runtime.supervisor.engine_client import ContainerProcess

        run = self.run(container_id)
        for attempt in range(_ATTEMPTS):
            try:
                return ContainerProcess.connect(run, container_id)
            except Conflict:  # `state` gives a container without a supervisor another one
                is_alive = Status(self.state(container_id).status).is_alive
                if not is_alive or attempt == _ATTEMPTS - 1:
                    raise
            time.sleep(_BETWEEN * attempt)  # the new supervisor is about to listen
        raise AssertionError("unreachable: the last attempt returns or raises")

    # The paths of a container: every other module takes them from here.

    def directory(self, container_id: str) -> str:
        """What outlives a run of the container: its writable layer, state, log and /etc files."""
        return f"{self.data_root.path}/containers/{container_id}"

    def run(self, container_id: str) -> str:
        """The supervisor's lock and sockets: gone after a reboot."""
        return f"{self.data_root.run_path}/{container_id}"

    def upper(self, container_id: str) -> str:
        """The writable layer, overlay's upper directory."""
        return f"{self.directory(container_id)}/upper"

    def writable_layer(self, record: Record) -> str:
        """`upper`, proved to exist. Raises Conflict for a container that has lost it."""
        upper = self.upper(record.id)
        if os.path.isdir(upper):
            return upper
        damage = self.last_state(record.id).damage
        if not damage or self.find_by_id(record.id) is None:
            raise NotFound(f"No such container: {record.name}")  # removed meanwhile
        raise Conflict(
            f"container {record.name} is damaged: {damage}",
            hint=f"'docker rm {record.name}' removes what is left of it",
        )

    def trash(self, container_id: str) -> str:
        """The place of the directory while it is being removed."""
        return trash_path(self.data_root.scratch_path, container_id)

    def work(self, container_id: str) -> str:
        """Overlay's work directory, on the same file system as `upper`."""
        return f"{self.directory(container_id)}/work"

    def tree_lock(self, container_id: str) -> str:
        """Held by the process that has the writable layer mounted."""
        return f"{self.directory(container_id)}/tree.lock"

    def networks_lock(self, container_id: str) -> str:
        """Held by the process that changes the container's networks."""
        return f"{self.directory(container_id)}/networks.lock"

    def log(self, container_id: str) -> str:
        return f"{self.directory(container_id)}/{container_id}-json.log"

    def cgroup_parent(self, record: Record) -> str:
        """The parent of the container's control group: the area's, or `--cgroup-parent`, a path
        from the root of the hierarchy that cannot lead above it."""
        asked = posixpath.normpath(f"/{record.spec.cgroup_parent}").strip("/")
        return asked or self.data_root.cgroup_parent

    def add(self, connection: sqlite3.Connection, record: Record) -> None:
        """Inserts the row inside the caller's transaction. Raises Conflict for a name in use."""
        self.require_free(connection, record.name)
        self._require_layers(connection, record)
        connection.execute(
            "INSERT INTO containers (id, name, image_id, created, spec) VALUES (?, ?, ?, ?, ?)",
            (record.id, record.name, record.image_id, record.created, record.encode()),
        )

    def restore(self, connection: sqlite3.Connection, container_id: str) -> bool:
        """Inserts the row of a directory that has lost it; whether it is known.

        The file beside the database is written in the transaction of the row: a row that is missing
        was damaged, unless the process was killed just before it committed. One of --rm is not
        restored: no client waits for it.
        """
        row = self.database.find_row_beside("containers", container_id)
        try:
            record = Record.decode(row["spec"]) if row else None
        except ValueError:
            return False
        if record is None or record.id != container_id or record.spec.auto_remove:
            return False
        try:
            self.add(connection, record)
        except (Conflict, NotFound):
            return False
        return True

    @staticmethod
    def _require_layers(connection: sqlite3.Connection, record: Record) -> None:
        """Raises NotFound when the image was removed since it was looked up."""
        for chain_id in record.layers[:1]:  # a layer keeps those below it
            if not connection.execute(
                "SELECT 1 FROM layers WHERE chain_id = ?", (chain_id,)
            ).fetchone():
                raise NotFound(f"No such image: {record.spec.image}")

    def require_free(self, connection: sqlite3.Connection, name: str) -> None:
        """Raises Conflict when an existing container has this name."""
        query = "SELECT id, spec FROM containers WHERE name = ?"
        row = connection.execute(query, (name,)).fetchone()
        if row is None:
            return
        if os.path.isdir(self.directory(row[0])) or not Record.decode(row[1]).spec.auto_remove:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{row[0]}". You have to remove (or rename) that container to be able to reuse '
                "that name."
            )
        connection.execute("DELETE FROM containers WHERE id = ?", row[:1])

    @staticmethod
    def delete(connection: sqlite3.Connection, container_id: str) -> None:
        """Deletes the row and the lease, inside the caller's transaction. Idempotent."""
        connection.execute("DELETE FROM leases WHERE container_id = ?", (container_id,))
        connection.execute("DELETE FROM containers WHERE id = ?", (container_id,))

    def forget(self, container_id: str) -> None:
        """Deletes the row and the lease. Idempotent.

        On a full disk the row stays until the next lookup: without a directory it means nothing.
        """
        try:
            with self.database.transaction() as connection:
                self.delete(connection, container_id)
        except OSError as error:
            if error.errno not in DISK_UNWRITABLE:
                raise


def describe(record: Record, now: State) -> Container:
    """The public value of a container."""
    return Container(
        id=record.id,
        name=record.name,
        image=record.spec.image,
        image_id=record.image_id,
        command=record.argv,
        created=record.created,
        status=Status(now.status),
        exit_code=now.exit_code,
        started=now.started,
        finished=now.finished,
        pid=now.pid,
        ip_address=now.ip_address,
        ports=tuple(
            PortMapping(host_ip=ip, host_port=host, container_port=inner, protocol=protocol)
            for ip, host, inner, protocol in now.ports
        ),
        exposed=record.exposed,
        labels=record.labels,
        oom_killed=now.oom_killed,
        health=now.health if Status(now.status).is_alive else "",
        restart_count=now.restart_count,
        error=now.damage or now.error,
        damage=now.damage,
        mounts=record.mounts,
        networks=network_names(record),
        spec=record.spec,
    )


def network_names(record: Record) -> tuple[str, ...]:
    """The networks of a container, as `ps` and the filter `network` name them."""
    mode = record.spec.network
    if mode in ("host", "none") or mode.startswith("container:"):
        return (mode,)
    return tuple(attachment.network for attachment in record.attachments)
