"""The request of an engine to the launcher: one supervised process.

It crosses the socket in two parts: the `SupervisorRequest`, which the supervisor reads when it
needs it, and the plan, which is read by the process that carries it out.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from msgspec import Struct, field

from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.supervisor.shared_namespaces import NamespaceTarget

_LENGTH: Final = struct.Struct(">I")


class SupervisorRequest(Struct, frozen=True, kw_only=True):
    """`run` is the directory of lock and socket, `directory` that of the state file and the log;
    both are empty for a build step, which is known to its builder only.

    `owned`: the process ends with the connection of the engine that requested it (no `-d`).
    `attached`: that engine gets the output from the first byte on.
    `endpoint` are the network's fields of the state file while the container runs.
    `log` is the log file, `log_settings` a `logs.settings.LogSettings` on the wire.
    `restart` is the policy with its maximum, `health` the fields of a `health.Check`.
    `joined` are the containers that it shares namespaces with.
    `events` is a `ContainerEvents` on the wire; without it no events are emitted.
    `adopts` is a `container_process.Program` on the wire: nothing is started, that program is taken
    over, and `resumed` are the operations of its start that depend on a supervisor, on the wire;
    `restart_problem` is what its state says about the next start.
    """

    id: str
    run: str = ""
    directory: str = ""
    log: str = ""
    log_settings: dict[str, Any] = field(default_factory=dict)
    open_stdin: bool = False
    auto_remove: bool = False
    anonymous_volumes: tuple[str, ...] = ()  # that go with a container of --rm
    owned: bool = False
    attached: bool = False
    endpoint: dict[str, Any] = field(default_factory=dict)
    restart: tuple[str, int] = ("no", 0)
    health: dict[str, Any] = field(default_factory=dict)
    watches_memory: bool = False
    joined: tuple[NamespaceTarget, ...] = ()
    events: dict[str, Any] = field(default_factory=dict)
    adopts: dict[str, Any] = field(default_factory=dict)
    resumed: list[list[Any]] = field(default_factory=list)
    restart_problem: str = ""


_FIELDS: Final = SupervisorRequest.__struct_fields__


class LaunchRequest(SupervisorRequest, frozen=True, kw_only=True):
    plan: SandboxPlan

    def encode(self) -> bytes:
        order = lenient_json.encode({name: getattr(self, name) for name in _FIELDS})
        return _LENGTH.pack(len(order)) + order + self.plan.encode()


def decode_request(request: bytes) -> SupervisorRequest:
    """Unknown fields are ignored: a container may outlast an upgrade, or a downgrade."""
    values = lenient_json.decode(request[_LENGTH.size : _end_of_order(request)])
    return SupervisorRequest(**{name: value for name, value in values.items() if name in _FIELDS})


def decode_plan(request: bytes) -> SandboxPlan:
    return SandboxPlan.decode(request[_end_of_order(request) :])


def _end_of_order(request: bytes) -> int:
    (length,) = _LENGTH.unpack_from(request)
    return _LENGTH.size + int(length)
