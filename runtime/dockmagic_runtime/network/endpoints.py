"""The running containers on a network: one small file for each.

`<networks>/<network id>/endpoints/<container id>.json`, where `<networks>` is a directory of the
data root. A file is written by rename when the container is connected and when its name changes,
and unlinked when it is disconnected. The DNS servers of all containers read these files, so a name
can be resolved from the moment its file exists; no process has to be notified.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct, field

from dockmagic_runtime.store.atomic import write_file

Reading = Callable[[str], "NetworkEndpoint | None"]
_ENDPOINTS = "endpoints"
_SUFFIX = ".json"


class NetworkEndpoint(Struct, frozen=True, kw_only=True):
    """One container on one network, with the names that its neighbours can use.

    `short_id` are the first twelve digits of its id; `network` is the network's name. On an
    `internal` network no query is forwarded. `links` are names for this container alone; each has
    a target, which is a name on the network or an id.
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
    """The directory of one network's endpoint files."""
    return f"{networks}/{network_id}/{_ENDPOINTS}"


def write(networks: str, network_id: str, container_id: str, endpoint: NetworkEndpoint) -> None:
    """Create or replace the endpoint file, atomically."""
    path = directory(networks, network_id)
    os.makedirs(path, 0o700, exist_ok=True)
    data = msgspec.json.encode(endpoint)
    write_file(f"{path}/{container_id}{_SUFFIX}", data)
    os.utime(networks)  # shows `dns.zone` that an endpoint was added or removed


def is_known(networks: str, network_id: str, container_id: str) -> bool:
    return os.path.exists(f"{directory(networks, network_id)}/{container_id}{_SUFFIX}")


def remove(networks: str, network_id: str, container_id: str) -> None:
    """Remove the endpoint file. Idempotent."""
    try:
        os.unlink(f"{networks}/{network_id}/{_ENDPOINTS}/{container_id}{_SUFFIX}")
    except FileNotFoundError:
        return
    os.utime(networks)


def of_network(
    networks: str, network_id: str, reading: Reading | None = None
) -> Iterator[tuple[str, NetworkEndpoint]]:
    """Container id and endpoint of each container on a network, by container id.

    `reading` replaces `read`, for callers with a cache.
    """
    path, reading = directory(networks, network_id), reading or read
    for name in sorted(_names(path)):
        if name.endswith(_SUFFIX) and (endpoint := reading(f"{path}/{name}")) is not None:
            yield name.removesuffix(_SUFFIX), endpoint


def of_container(networks: str, container_id: str) -> Iterator[tuple[str, NetworkEndpoint]]:
    """Network id and endpoint of every network that a container is on."""
    for network_id in sorted(_names(networks)):
        path = f"{networks}/{network_id}/{_ENDPOINTS}/{container_id}{_SUFFIX}"
        if (endpoint := read(path)) is not None:
            yield network_id, endpoint


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def read(path: str) -> NetworkEndpoint | None:
    """The endpoint in a file; None when the file was removed, and when it is damaged: one of them
    must not hide the names of the others."""
    try:
        with open(path, "rb") as stream:
            values = msgspec.json.decode(stream.read())
        known = {key: value for key, value in values.items() if value is not None}
        return msgspec.convert(known, NetworkEndpoint)
    except (OSError, ValueError, AttributeError, msgspec.MsgspecError):
        return None
