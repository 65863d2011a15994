"""`ContainerEvents`: the events that a supervisor emits for its container, in Docker's words.

On `run --rm` the engine emits create, attach and network connect; the supervisor emits start, die,
network disconnect and destroy, in this order, each before it sends the same to its clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field, to_builtins

from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.store import events


class VolumeUse(Struct, frozen=True, kw_only=True):
    """One volume of a container, with the fields of its mount event."""

    name: str
    destination: str
    writable: bool = True


class ContainerEvents(Struct, frozen=True, kw_only=True):
    """`root` is the directory of the Docker area, `directory` the container's.

    `attributes` go with every event of the container: its labels, `image` and `name`. `networks`
    are those it is connected with: id, name and driver of each.
    """

    root: str
    directory: str
    id: str
    attributes: dict[str, str]
    networks: tuple[tuple[str, str, str], ...] = ()
    volumes: tuple[VolumeUse, ...] = field(default=())

    def to_wire(self) -> dict[str, Any]:
        """The form that `from_wire` reads, for a request to a supervisor."""
        facts: dict[str, Any] = to_builtins(self)
        return facts

    @classmethod
    def from_wire(cls, values: dict[str, Any]) -> ContainerEvents:
        volumes = tuple(VolumeUse(**volume) for volume in values["volumes"])
        networks = tuple(map(tuple, values["networks"]))
        return cls(**{**values, "volumes": volumes, "networks": networks})

    # ------------------------------------------------------------------ of the container

    def emit(self, action: str, **attributes: str) -> None:
        """Emits an event without fields of its own: attach, detach, start, oom, stop, restart,
        destroy, pause, unpause, resize, top, …"""
        named = {**self.attributes, "name": self._name(), **attributes}
        self._emit("container", action, self.id, named)

    def kill(self, signal: int) -> None:
        self.emit("kill", signal=str(signal))

    def die(self, exit_code: int, seconds: float) -> None:
        """`seconds` is how long the program ran."""
        self.emit("die", exitCode=str(exit_code), execDuration=str(int(seconds)))

    def health(self, status: str) -> None:
        """`status` is "starting", "healthy" or "unhealthy"."""
        self.emit(f"health_status: {status}")

    def exec_create(self, argv: Sequence[str], exec_id: str) -> None:
        self.emit(f"exec_create: {' '.join(argv)}", execID=exec_id)

    def exec_start(self, argv: Sequence[str], exec_id: str) -> None:
        self.emit(f"exec_start: {' '.join(argv)}", execID=exec_id)

    def exec_die(self, exec_id: str, exit_code: int) -> None:
        self.emit("exec_die", execID=exec_id, exitCode=str(exit_code))

    def _name(self) -> str:
        """Its name now: `rename` leaves a note for supervisors that know an older one."""
        try:
            with open(f"{self.directory}/name", encoding="utf-8") as stream:
                name = stream.read()
        except (FileNotFoundError, UnicodeDecodeError):
            return self.attributes["name"]
        # a damaged note says nothing
        return name if name and name.isprintable() else self.attributes["name"]

    # ------------------------------------------------------------------ of networks and volumes

    def connected(self) -> None:
        """Emitted before the program starts, when network and volumes are there."""
        for network in self.networks:
            self.emit_network("connect", *network)
        for use in self.volumes:
            used = {
                "driver": "local",
                "container": self.id,
                "destination": use.destination,
                "read/write": "true" if use.writable else "false",
                "propagation": "",
            }
            self._emit("volume", "mount", use.name, used)

    def disconnected(self) -> None:
        """Emitted after the program's end."""
        for network in self.networks:
            self.emit_network("disconnect", *network)
        for use in self.volumes:
            self._emit("volume", "unmount", use.name, {"driver": "local", "container": self.id})

    def emit_network(self, action: str, network_id: str, name: str, driver: str) -> None:
        attributes = {"container": self.id, "name": name, "type": driver}
        self._emit("network", action, network_id, attributes)

    def _emit(self, kind: str, action: str, about: str, attributes: dict[str, str]) -> None:
        events.emit(self.root, Event(type=kind, action=action, id=about, attributes=attributes))
