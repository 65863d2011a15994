"""`SandboxPlan`: everything that will be done to start one isolated process, as data.

Three lists: the start process executes `host` and `network`, the child `inside`. The start process
executes the network list once the child has handed over its network namespace, at the same time as
the child executes the rest of its own.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, json

from dockmagic_runtime.sandbox.operation import Operation, from_wire, frozen, tagged


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """The program that the child becomes once its sandbox is ready.

    `user` is as given ("", "1000", "www-data:33"), resolved against the container's own files.
    `seccomp` is "default", "unconfined", or a profile in Docker's JSON format.
    `rlimits` are (resource number, soft, hard). With `reaper` the child itself stays as the first
    process, passes signals on and waits for orphans. `oom_score_adj` is that of an exec: the first
    process gets its own by an operation, and those that it starts inherit it. `tied`: the kernel
    kills it when its supervisor dies; else it runs on.
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
    pid_namespace_of: int = 0  # pid of the process to share a pid namespace with

    def describe(self) -> tuple[str, ...]:
        """One line for each operation, in an order that reads well."""
        everything = (*self.host, *self.inside, *self.network)
        return (*(step.describe() for step in everything), f"execute {' '.join(self.process.argv)}")

    def encode(self) -> bytes:
        """As JSON, which `decode` reads."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        lists = {name: tagged(values[name]) for name in ("host", "network", "inside")}
        return json.encode(values | lists)

    @classmethod
    def decode(cls, data: bytes) -> SandboxPlan:
        """The inverse of `encode`."""
        values = json.decode(data)
        lists = {name: from_wire(values[name]) for name in ("host", "network", "inside")}
        return cls(**{**values, **lists, "process": process_from_wire(values["process"])})


def process_from_wire(wire: dict[str, Any]) -> ProcessSpec:
    """The process of an exec or of a plan, from JSON; its arrays become tuples.

    Not by msgspec.convert, for the reason in `operation`: 0.3 ms for the first of a process.
    """
    return ProcessSpec(**{key: frozen(value) for key, value in wire.items()})
