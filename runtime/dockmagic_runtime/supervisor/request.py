"""What an engine asks the launcher for: one supervised process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from dockmagic_runtime.sandbox.plan import SandboxPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """`run` is the directory of lock and socket, `directory` that of the state file and the log;
    both are empty for a build step, which nobody but its builder knows.

    `owned`: the process ends when the engine that asked for it goes away (no `-d`).
    `endpoint` are the network's fields of the state file while the container runs.
    """

    id: str
    plan: SandboxPlan
    run: str = ""
    directory: str = ""
    log: str = ""
    open_stdin: bool = False
    auto_remove: bool = False
    anonymous_volumes: tuple[str, ...] = ()  # that go with a container of --rm
    owned: bool = False
    endpoint: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        values = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({**values, "plan": self.plan.to_wire()}).encode()

    @classmethod
    def decode(cls, data: bytes) -> LaunchRequest:
        values: dict[str, Any] = json.loads(data)
        values["plan"] = SandboxPlan.from_wire(values["plan"])
        return cls(**values)
