"""`--link` on the default network: a name for another container, and variables that tell of it.

The container that links has the links in its record, each with the other's id, so they outlast
renames. What is known of the other is put together when the container starts; while it runs its
/etc/hosts follows the other's restarts, its environment does not, as with Docker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.containers.plan import etc_files
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, Status
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.store.atomic import write_file
from dockmagic_runtime.supervisor.state import State

_DEFAULT = "bridge"
_NOT_TOLD = ("HOME", "PATH")  # of the other's environment: they say nothing about it
Link = tuple[str, ...]  # the alias, the other's id and its name; earlier versions had no name


class Linked(Struct, frozen=True, kw_only=True):
    """One link of a container that starts, with what is known of the other. `name` is Docker's:
    `/me/alias`."""

    name: str
    alias: str
    address: str
    hostname: str
    other: str
    ports: tuple[tuple[int, str], ...]  # exposed ones, in order: number and protocol
    env: tuple[str, ...]

    @property
    def hosts_line(self) -> tuple[str, str]:
        """The address, and the names in /etc/hosts: alias, host name, and its own if it differs."""
        names = (self.alias, self.hostname, *([self.other] if self.other != self.alias else []))
        return self.address, " ".join(names)

    def variables(self) -> Iterator[str]:
        """What Docker puts into the environment, in its order."""
        prefix = "".join(map(_capital, self.alias)).replace("-", "_")
        if self.ports:
            yield f"{prefix}_PORT={self._place(*self.ports[0])}"
        for first, last in _runs(self.ports):
            yield from self._run(prefix, first, last)
        for number, protocol in self.ports:
            stem = f"{prefix}_PORT_{number}_{protocol.upper()}"
            yield f"{stem}={self._place(number, protocol)}"
            yield f"{stem}_ADDR={self.address}"
            yield f"{stem}_PORT={number}"
            yield f"{stem}_PROTO={protocol}"
        yield f"{prefix}_NAME={self.name}"
        for one in self.env:
            key, equals, value = one.partition("=")
            if equals and key not in _NOT_TOLD:
                yield f"{prefix}_ENV_{key}={value}"

    def _place(self, number: int, protocol: str) -> str:
        return f"{protocol}://{self.address}:{number}"

    def _run(self, prefix: str, first: tuple[int, str], last: tuple[int, str]) -> Iterator[str]:
        """Ports that follow one another are told as a range too."""
        stem = f"{prefix}_PORT_{first[0]}_{first[1].upper()}"
        yield f"{stem}_START={self._place(*first)}"
        yield f"{stem}_ADDR={self.address}"
        yield f"{stem}_PROTO={first[1]}"
        yield f"{stem}_PORT_START={first[0]}"
        stem = f"{prefix}_PORT_{first[0]}_{last[1].upper()}"  # it may be another protocol
        yield f"{stem}_END={self._place(*last)}"
        yield f"{stem}_PORT_END={last[0]}"


def _capital(letter: str) -> str:
    """One for one, as Go does it: ß has none."""
    return letter.upper() if len(letter.upper()) == 1 else letter


def _runs(
    ports: Sequence[tuple[int, str]],
) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    """First and last of each run of three or more, counted as Docker does."""
    at = 0
    while at < len(ports):
        last = _end_of_run(ports, at)
        if last > at + 1:
            yield ports[at], ports[last]
            at = last
        at += 1


def _end_of_run(ports: Sequence[tuple[int, str]], start: int) -> int:
    for at in range(start + 1, len(ports)):
        if ports[at][0] > ports[start][0] + at - start:
            return at - 1
    return len(ports) - 1


# ------------------------------------------------------------------ at `create`


def for_new(
    store: ContainerStore, spec: ContainerSpec, attachments: tuple[Attachment, ...]
) -> tuple[tuple[Link, ...], tuple[Attachment, ...]]:
    """The record's links; on a network of users they are names of its resolver instead.

    Of two with one alias the first counts. Raises InvalidInput in Docker's words.
    """
    if not spec.links:
        return (), attachments
    for mode, word in (("host", "host type networking"), ("container:", "container type network")):
        if spec.network.startswith(mode):
            raise InvalidInput(
                f"conflicting options: {word} can't be used with links. "
                "This would result in undefined behavior"
            )
    if not attachments or any(one.network == _DEFAULT for one in attachments):
        found: dict[str, Link] = {}
        for target, alias in spec.links:
            found.setdefault(alias, _resolved(store, target, alias))
        return tuple(found.values()), attachments
    first, *rest = attachments
    names = tuple((alias.rpartition("/")[2], target) for target, alias in spec.links)
    return (), (replace(first, links=names), *rest)


def _resolved(store: ContainerStore, target: str, alias: str) -> Link:
    try:
        record = store.find(target)
    except NotFound as error:
        raise InvalidInput(f"could not get container for {target}: {error}") from error
    while record.spec.network.startswith("container:"):
        record = store.find(record.spec.network.removeprefix("container:"))
    if record.spec.network == "host":
        raise InvalidInput(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )
    return alias, record.id, record.name


# ------------------------------------------------------------------ at `start`


def linked(store: ContainerStore, record: Record) -> tuple[Linked, ...]:
    """What the container will know of the others when it starts.

    Raises Conflict when one of them is not there, or is on other networks alone.
    """
    for link in _those(record):
        other = store.find_by_id(link[1])
        if other and not any(one.network == _DEFAULT for one in other.attachments):
            raise Conflict(
                f"Cannot link to /{other.name}, as it does not belong to the default network",
                hint=f"'docker network connect bridge {other.name}' puts it there",
            )
    return now(store, record)


def now(store: ContainerStore, record: Record) -> tuple[Linked, ...]:
    """The same of one that runs, for `exec`. Raises Conflict when one of the others is not there,
    as Docker does."""
    return tuple(_linked(store, record, *link) for link in _those(record))


def _those(record: Record) -> tuple[Link, ...]:
    """Its links, if it is where they count."""
    on_default = any(one.network == _DEFAULT for one in record.attachments)
    return record.links if on_default else ()


def _linked(
    store: ContainerStore, record: Record, alias: str, target: str, last_name: str = ""
) -> Linked:
    other, name = store.find_by_id(target), f"/{record.name}/{alias}"
    there = store.state(target) if other else None
    if not (other and there and there.pid and Status(there.status).is_alive):
        called = other.name if other else last_name or target[:12]
        raise Conflict(
            f"Cannot link to a non running container: /{called} AS {name}",
            hint=f"start {called} first"
            if other
            else f"it was removed; 'docker rm --link {name[1:]}' forgets the link",
        )
    address = _address(there)
    if not address:
        raise Conflict(f"container {other.id} not attached to default bridge network")
    return Linked(
        name=name,
        alias=alias.rpartition("/")[2],
        address=address,
        hostname=other.hostname,
        other=other.name,
        ports=_ports(other.exposed),
        env=other.env,
    )


def _address(there: State) -> str:
    found = (one["ip_address"] for one in there.networks.values() if one["name"] == _DEFAULT)
    return next(found, "")


def _ports(exposed: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """By number; of one number TCP first."""
    split = (one.partition("/") for one in exposed)
    ports = [(int(number), protocol or "tcp") for number, _, protocol in split]
    return tuple(sorted(ports, key=lambda one: (one[0], one[1] != "tcp")))


def environment(those: Sequence[Linked], own: Sequence[str]) -> tuple[str, ...]:
    """Before the container's own variables, which win (see `process_environment`)."""
    return (*(one for link in those for one in link.variables()), *own)


# ------------------------------------------------------------------ while it runs


def follow(store: ContainerStore, record: Record, address: str) -> None:
    """The container has started, with that address: its name in others' /etc/hosts leads there."""
    for other, link in linking_to(store, record.id):
        alias = link.rpartition("/")[2]
        if Status(store.last_state(other.id).status).is_alive:
            change_hosts(store, other, partial(_moved, alias=alias, address=address))


def _moved(line: str, alias: str, address: str) -> str:
    _, tab, names = line.partition("\t")
    return f"{address}\t{names}" if tab and names.split()[:1] == [alias] else line


def change_hosts(
    store: ContainerStore, record: Record, change: Callable[[str], str | None]
) -> None:
    """Each line anew, or without it."""

    def changed(text: str) -> str:
        lines = [new for line in text.splitlines() if (new := change(line)) is not None]
        return "".join(f"{line}\n" for line in lines)

    etc_files.change(f"{store.directory(record.id)}/hosts", changed)


def linking_to(store: ContainerStore, container_id: str) -> Iterator[tuple[Record, str]]:
    """Who has a link to it, and by which alias."""
    pattern = f'%"{container_id}"%'
    rows = store.database.rows(
        "SELECT id FROM containers WHERE spec LIKE ? AND id != ?", pattern, container_id
    )
    for (other_id,) in rows:
        other = store.find_by_id(other_id)
        for alias, target, *_ in other.links if other else ():
            if other and target == container_id:
                yield other, alias


def renamed(store: ContainerStore, container_id: str, name: str) -> None:
    """Those who link to it know its name, for the time when it has gone."""
    for other in {other.id: other for other, _ in linking_to(store, container_id)}.values():
        changed = ((*one[:2], name) if one[1] == container_id else one for one in other.links)
        _put(store, replace(other, links=tuple(changed)))


def _put(store: ContainerStore, record: Record) -> None:
    with store.database.transaction() as connection:
        connection.execute(
            "UPDATE containers SET spec = ? WHERE id = ?", (record.encode(), record.id)
        )


# ------------------------------------------------------------------ names of links


def find(store: ContainerStore, name: str) -> tuple[Record, str]:
    """The container that has the link `parent/alias`, and the alias. Raises NotFound, Conflict."""
    parent, _, alias = name.strip("/").partition("/")
    if not parent:
        raise InvalidInput("container name cannot be empty")
    if not alias:
        store.find(parent)
        raise Conflict("Conflict, cannot remove the default link name of the container")
    try:
        record = store.find(parent)
    except NotFound:
        raise NotFound(f"No such container: {name}", hint=f"there is no {parent}") from None
    if alias not in {one[0] for one in record.links}:
        raise NotFound(f"No such container: {name}", hint=f"{parent} has no link {alias}")
    return record, alias


def remove(store: ContainerStore, name: str) -> None:
    """`rm --link`: forget the link, and its line in the container's /etc/hosts."""
    record, alias = find(store, name)
    _put(store, replace(record, links=tuple(one for one in record.links if one[0] != alias)))
    name = alias.rpartition("/")[2]
    change_hosts(store, record, lambda line: None if _moved(line, name, "") != line else line)


def host_config(store: ContainerStore, record: Record) -> list[str] | None:
    """`HostConfig.Links` of inspect; a container that was removed is told by its last name."""
    return [
        f"/{_name(store, *others)}:/{record.name}/{alias}" for alias, *others in record.links
    ] or None


def _name(store: ContainerStore, container_id: str, last: str = "") -> str:
    other = store.find_by_id(container_id)
    return other.name if other else last or container_id[:12]


def names(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    """By container id, the names that it has by links: `parent/alias`, in order."""
    found: dict[str, list[str]] = {}
    for record in records:
        for alias, target, *_ in record.links:
            found.setdefault(target, []).append(f"{record.name}/{alias}")
    return {target: tuple(sorted(those)) for target, those in found.items()}


def remember(directory: str, variables: Sequence[str]) -> None:
    """For `exec`: what the container was told when it started."""
    write_file(f"{directory}/links", "\0".join(variables).encode("utf-8", "surrogateescape"))


def remembered(directory: str) -> tuple[str, ...]:
    try:
        with open(f"{directory}/links", encoding="utf-8", errors="surrogateescape") as stream:
            return tuple(filter(None, stream.read().split("\0")))
    except FileNotFoundError:
        return ()
