"""What a container has published, in a file beside its supervisor's lock.

Netfilter's elements can be lost (somebody flushes the rule set); these files tell how to make
them again. A file counts while the container is alive. It is written before the elements
are made and removed before they are, so that whoever sets the table right misses none and adds
none that is on its way out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from dockmagic_runtime.network.nftables.ruleset import Published
from dockmagic_runtime.store import container_process
from dockmagic_runtime.store.atomic import write_file

_NAME = "ports.json"


def write(run: str, published: tuple[Published, ...]) -> None:
    """Into the container's run directory, whole or not at all."""
    rows = [(o.host_ip, o.host_port, o.protocol, o.address, o.port) for o in published]
    write_file(f"{run}/{_NAME}", json.dumps(rows).encode())


def remove(run: str) -> None:
    try:
        os.unlink(f"{run}/{_NAME}")
    except FileNotFoundError:
        pass  # its directory has been cleared meanwhile


def alive(area_run: str) -> Iterator[Published]:
    """What all containers of the area that live have published."""
    for directory in _directories(area_run):
        if container_process.is_alive(directory):
            yield from _read(f"{directory}/{_NAME}")


def unattended(area_run: str) -> Iterator[Published]:
    """What those have published that live without a supervisor, who would hold the ports."""
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
            rows = json.load(stream)
    except FileNotFoundError:
        return  # it publishes nothing, or has just ended
    for host_ip, host_port, protocol, address, port in rows:
        yield Published(
            host_ip=host_ip, host_port=host_port, protocol=protocol, address=address, port=port
        )
