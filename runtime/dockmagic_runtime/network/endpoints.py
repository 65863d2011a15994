"""Who is on a network now: one small file for each container that runs and is attached to it.

`<networks>/<network id>/endpoints/<container id>.json`, where `<networks>` is a directory of the
area. A file is written by rename when the container is plugged in and when its name changes, and
unlinked when it is unplugged. Every container's resolver reads these files, so a name is known to
all the moment the file is there; no process has to be told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct, field, to_builtins

from dockmagic_runtime.store.atomic import write_file

Reading = Callable[[str], "NetworkEndpoint | None"]
_ENDPOINTS = "endpoints"
_SUFFIX = ".json"


class NetworkEndpoint(Struct, frozen=True, kw_only=True):
    """One container on one network, as its neighbours may call it.

    `short_id` are the first twelve digits of its id; `network` is the network's name. On a network
    that is `internal` nothing is asked of the outside. `links` are names that this container alone
    has for others, each with a name that all know, or an id.
    """

    name: str
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    short_id: str = ""
    hostname: str = ""
    network: str = ""
    internal: bool = False
    links: dict[str, str] = field(default_factory=dict)


def directory(networks: str, network_id: str) -> str:
    """Where the files of one network are."""
    return f"{networks}/{network_id}/{_ENDPOINTS}"


def write(networks: str, network_id: str, container_id: str, endpoint: NetworkEndpoint) -> None:
    """Make it known, or replace what is known of it, whole or not at all."""
    place = directory(networks, network_id)
    os.makedirs(place, 0o700, exist_ok=True)
    data = json.dumps(to_builtins(endpoint)).encode()
    write_file(f"{place}/{container_id}{_SUFFIX}", data)
    os.utime(networks)  # "somebody came or went": see `zone`


def is_known(networks: str, network_id: str, container_id: str) -> bool:
    return os.path.exists(f"{directory(networks, network_id)}/{container_id}{_SUFFIX}")


def remove(networks: str, network_id: str, container_id: str) -> None:
    """Forget it. Idempotent."""
    try:
        os.unlink(f"{networks}/{network_id}/{_ENDPOINTS}/{container_id}{_SUFFIX}")
    except FileNotFoundError:
        return
    os.utime(networks)


def of_network(
    networks: str, network_id: str, reading: Reading | None = None
) -> Iterator[tuple[str, NetworkEndpoint]]:
    """Container id and endpoint of everybody on a network, by container id. `reading` instead of
    `read`, by those who look again and again."""
    place, reading = directory(networks, network_id), reading or read
    for name in sorted(_names(place)):
        if name.endswith(_SUFFIX) and (found := reading(f"{place}/{name}")) is not None:
            yield name.removesuffix(_SUFFIX), found


def of_container(networks: str, container_id: str) -> Iterator[tuple[str, NetworkEndpoint]]:
    """Network id and endpoint of every network that a container is on."""
    for network_id in sorted(_names(networks)):
        path = f"{networks}/{network_id}/{_ENDPOINTS}/{container_id}{_SUFFIX}"
        if (found := read(path)) is not None:
            yield network_id, found


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


_FIELDS = frozenset(NetworkEndpoint.__struct_fields__)


def read(path: str) -> NetworkEndpoint | None:
    """The endpoint in a file; None when it has gone."""
    try:
        with open(path, "rb") as stream:
            found: dict[str, Any] = json.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        return None  # it has just gone, or was never there
    known = {key: value for key, value in found.items() if key in _FIELDS and value is not None}
    return NetworkEndpoint(**{**known, "aliases": tuple(known.get("aliases", ()))})
