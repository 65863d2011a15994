"""`SandboxPlan`: everything that will be done to start one isolated process, as data.

Three lists, by who carries them out: `host` and `network` the supervisor, `inside` the child.
The network list runs when the child has handed over its network namespace, at the same time as
the rest of the child's list.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

from dockmagic_runtime.sandbox.operation import Operation, from_wire, to_wire


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """What becomes of the child once its surroundings are ready.

    `user` is as given ("", "1000", "www-data:33"), resolved against the container's own files.
    `seccomp` is "default", "unconfined", or a profile in Docker's JSON format.
    `rlimits` are (resource number, soft, hard). With `reaper` a process of ours stays as the first
    one, passes signals on and waits for orphans. `oom_score_adj` is that of an exec: the first
    process gets its own by an operation, and those that it starts inherit it. `tied`: it is killed
    when its supervisor is; else it goes on.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()
    terminal: bool = False
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = "default"
    rlimits: tuple[tuple[int, int, int], ...] = ()
    reaper: bool = False
    oom_score_adj: int = 0
    tied: bool = True


class SandboxPlan(Struct, frozen=True, kw_only=True):
    host: tuple[Operation, ...] = ()
    network: tuple[Operation, ...] = ()
    inside: tuple[Operation, ...] = ()
    process: ProcessSpec
    new_pid_namespace: bool = True
    pid_namespace_of: int = 0  # the process whose pid namespace is joined instead

    def describe(self) -> tuple[str, ...]:
        """One line an operation, in the order in which a reader would tell the story."""
        everything = (*self.host, *self.inside, *self.network)
        return (*(one.describe() for one in everything), f"execute {' '.join(self.process.argv)}")

    def to_wire(self) -> dict[str, Any]:
        return {
            "host": to_wire(self.host),
            "network": to_wire(self.network),
            "inside": to_wire(self.inside),
            "process": to_builtins(self.process),
            "new_pid_namespace": self.new_pid_namespace,
            "pid_namespace_of": self.pid_namespace_of,
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> SandboxPlan:
        return cls(
            host=from_wire(wire["host"]),
            network=from_wire(wire["network"]),
            inside=from_wire(wire["inside"]),
            process=process_from_wire(wire["process"]),
            new_pid_namespace=wire["new_pid_namespace"],
            pid_namespace_of=wire["pid_namespace_of"],
        )


def process_from_wire(wire: dict[str, Any]) -> ProcessSpec:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in wire.items()
    }
    values["rlimits"] = tuple(tuple(one) for one in values["rlimits"])
    return ProcessSpec(**values)
