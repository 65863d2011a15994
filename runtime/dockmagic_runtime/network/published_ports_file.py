"""The published ports of a container, in a file beside its supervisor's lock.

The elements in the nftables table can be lost, when the rule set is flushed; from these files they
are added again. A file is valid while the container runs. It is written before its elements are
added and removed before they are deleted, so that a repair misses none and adds none that is about
to be deleted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from dockmagic_runtime.network.nftables.published_ports import Published
from dockmagic_runtime.store import container_process
from dockmagic_runtime.store.atomic import write_file

_NAME = "ports.json"
_Row = tuple[str, int, str, str, int]  # host address and port, protocol, address and port


def write(run: str, published: tuple[Published, ...]) -> None:
    """Write the file into the container's run directory, atomically."""
    rows = [(p.host_ip, p.host_port, p.protocol, p.address, p.port) for p in published]
    write_file(f"{run}/{_NAME}", msgspec.json.encode(rows))


def remove(run: str) -> None:
    try:
        os.unlink(f"{run}/{_NAME}")
    except FileNotFoundError:
        pass  # the run directory was removed meanwhile


def alive(area_run: str) -> Iterator[Published]:
    """The published ports of all running containers."""
    for directory in _directories(area_run):
        if container_process.is_alive(directory):
            yield from _read(f"{directory}/{_NAME}")


def unattended(area_run: str) -> Iterator[Published]:
    """The published ports of running containers without a supervisor, which would hold them."""
    for directory in _directories(area_run):
        if not container_process.has_supervisor(directory) and container_process.survivor(
            directory
        ):
            yield from _read(f"{directory}/{_NAME}")


def _directories(area_run: str) -> list[str]:
    with os.scandir(area_run) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _read(path: str) -> Iterator[Published]:
    try:
        with open(path, "rb") as stream:
            rows = msgspec.json.decode(stream.read(), type=list[_Row])
    except FileNotFoundError:
        return  # it publishes no port, or has just ended
    except (OSError, ValueError, msgspec.MsgspecError):
        return  # damaged: the ports of the others are not lost for it
    for host_ip, host_port, protocol, address, port in rows:
        yield Published(
            host_ip=host_ip, host_port=host_port, protocol=protocol, address=address, port=port
        )
