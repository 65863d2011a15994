"""`--link` on the default network: a name for another container, and variables that describe it.

A container's record has its links, each with the id of the linked container, so a rename does not
break them. Addresses and variables are determined when the container starts. While it runs, its
/etc/hosts follows restarts of the linked container and its environment does not, as with Docker.
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
_NOT_PASSED = ("HOME", "PATH")  # variables of the linked container that are not passed on
Link = tuple[
    str, ...
]  # alias, id and name of the linked container; rows of earlier versions have no name


class Linked(Struct, frozen=True, kw_only=True):
    """One link of a container that starts, with the facts of the linked one.

    `name` is Docker's: `/container/alias`. `ports` are the exposed ones, in order.
    """

    name: str
    alias: str
    address: str
    hostname: str
    other: str
    ports: tuple[tuple[int, str], ...]  # number and protocol
    env: tuple[str, ...]

    @property
    def hosts_line(self) -> tuple[str, str]:
        """Address and names in /etc/hosts: alias, host name, and the container's if it differs."""
        names = (self.alias, self.hostname, *([self.other] if self.other != self.alias else []))
        return self.address, " ".join(names)

    def variables(self) -> Iterator[str]:
        """Docker's variables for the link, in its order."""
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
        for entry in self.env:
            key, equals, value = entry.partition("=")
            if equals and key not in _NOT_PASSED:
                yield f"{prefix}_ENV_{key}={value}"

    def _place(self, number: int, protocol: str) -> str:
        return f"{protocol}://{self.address}:{number}"

    def _run(self, prefix: str, first: tuple[int, str], last: tuple[int, str]) -> Iterator[str]:
        """Variables of a range of consecutive ports."""
        stem = f"{prefix}_PORT_{first[0]}_{first[1].upper()}"
        yield f"{stem}_START={self._place(*first)}"
        yield f"{stem}_ADDR={self.address}"
        yield f"{stem}_PROTO={first[1]}"
        yield f"{stem}_PORT_START={first[0]}"
        stem = f"{prefix}_PORT_{first[0]}_{last[1].upper()}"  # it may be another protocol
        yield f"{stem}_END={self._place(*last)}"
        yield f"{stem}_PORT_END={last[0]}"


def _capital(letter: str) -> str:
    """In upper case, letter by letter as in Go: ß stays."""
    return letter.upper() if len(letter.upper()) == 1 else letter


def _runs(
    ports: Sequence[tuple[int, str]],
) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    """First and last port of each run of three or more, with Docker's way of counting."""
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
    """The links of a new container, and its networks.

    On a user-defined network a link is an alias in that network's DNS instead. Of two links with
    one alias the first counts. Raises InvalidInput with Docker's texts.
    """
    if not spec.links:
        return (), attachments
    for mode, word in (("host", "host type networking"), ("container:", "container type network")):
        if spec.network.startswith(mode):
            raise InvalidInput(
                f"conflicting options: {word} can't be used with links. "
                "This would result in undefined behavior"
            )
    if not attachments or any(attachment.network == _DEFAULT for attachment in attachments):
        by_alias: dict[str, Link] = {}
        for target, alias in spec.links:
            by_alias.setdefault(alias, _resolved(store, target, alias))
        return tuple(by_alias.values()), attachments
    first, *rest = attachments
    names = tuple((alias.rpartition("/")[2], target) for target, alias in spec.links)
    return (), (replace(first, links=names), *rest)


def _resolved(store: ContainerStore, target: str, alias: str) -> Link:
    try:
        record = store.find(target)
    except NotFound as error:
        raise InvalidInput(
            f"could not get container for {target}: {error.message}", hint=error.hint
        ) from error
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
    """The container's links at its start.

    Raises Conflict when a linked container does not run, or is not on the default network.
    """
    for link in _effective(record):
        other = store.find_by_id(link[1])
        if other and not any(attachment.network == _DEFAULT for attachment in other.attachments):
            raise Conflict(
                f"Cannot link to /{other.name}, as it does not belong to the default network",
                hint=f"'docker network connect bridge {other.name}' puts it there",
            )
    return now(store, record)


def now(store: ContainerStore, record: Record) -> tuple[Linked, ...]:
    """The current links of a running container, for `exec`.

    Raises Conflict when a linked container does not run, as Docker does.
    """
    return tuple(_linked(store, record, *link) for link in _effective(record))


def _effective(record: Record) -> tuple[Link, ...]:
    """The container's links; none when it is not on the default network."""
    on_default = any(attachment.network == _DEFAULT for attachment in record.attachments)
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
    endpoints = there.networks.values()
    return next((end["ip_address"] for end in endpoints if end["name"] == _DEFAULT), "")


def _ports(exposed: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Sorted by number, TCP first."""
    split = (text.partition("/") for text in exposed)
    ports = [(int(number), protocol or "tcp") for number, _, protocol in split]
    return tuple(sorted(ports, key=lambda port: (port[0], port[1] != "tcp")))


def environment(linked: Sequence[Linked], own: Sequence[str]) -> tuple[str, ...]:
    """The links' variables, then the container's own, which win (see `process_environment`)."""
    return (*(variable for link in linked for variable in link.variables()), *own)


# ------------------------------------------------------------------ while it runs


def follow(store: ContainerStore, record: Record, address: str) -> None:
    """Writes the container's new address to /etc/hosts of the containers that link to it."""
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
    """Rewrites a container's /etc/hosts line by line; a line goes when `change` returns None."""

    def changed(text: str) -> str:
        lines = [new for line in text.splitlines() if (new := change(line)) is not None]
        return "".join(f"{line}\n" for line in lines)

    etc_files.change(f"{store.directory(record.id)}/hosts", changed)


def linking_to(store: ContainerStore, container_id: str) -> Iterator[tuple[Record, str]]:
    """The containers that link to it, each with the alias."""
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
    """Writes the new name into the records that link to the container, for the time after it."""
    for other in {other.id: other for other, _ in linking_to(store, container_id)}.values():
        changed = ((*link[:2], name) if link[1] == container_id else link for link in other.links)
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
    if alias not in {link[0] for link in record.links}:
        raise NotFound(f"No such container: {name}", hint=f"{parent} has no link {alias}")
    return record, alias


def remove(store: ContainerStore, name: str) -> None:
    """`rm --link`: removes the link and its line in the container's /etc/hosts."""
    record, alias = find(store, name)
    links = tuple(link for link in record.links if link[0] != alias)
    _put(store, replace(record, links=links))
    name = alias.rpartition("/")[2]
    change_hosts(store, record, lambda line: None if _moved(line, name, "") != line else line)


def host_config(store: ContainerStore, record: Record) -> list[str] | None:
    """`HostConfig.Links` of inspect; a removed container is shown with its last name."""
    return [
        f"/{_name(store, *others)}:/{record.name}/{alias}" for alias, *others in record.links
    ] or None


def _name(store: ContainerStore, container_id: str, last: str = "") -> str:
    other = store.find_by_id(container_id)
    return other.name if other else last or container_id[:12]


def names(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    """The names that links give to containers, by id: `parent/alias`, sorted."""
    by_target: dict[str, list[str]] = {}
    for record in records:
        for alias, target, *_ in record.links:
            by_target.setdefault(target, []).append(f"{record.name}/{alias}")
    return {target: tuple(sorted(names)) for target, names in by_target.items()}


def save_environment(directory: str, variables: Sequence[str]) -> None:
    """Keeps the variables of this start, for the restarts by the supervisor."""
    write_file(f"{directory}/links", "\0".join(variables).encode("utf-8", "surrogateescape"))


def saved_environment(directory: str) -> tuple[str, ...]:
    """The variables of the last start; empty when none were kept."""
    try:
        with open(f"{directory}/links", encoding="utf-8", errors="surrogateescape") as stream:
            return tuple(filter(None, stream.read().split("\0")))
    except FileNotFoundError:
        return ()
