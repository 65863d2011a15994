"""How a container was made: the plan's operations, with what each took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedStep:
    """One operation. `who` carried it out: "supervisor", "child" or "network" (the supervisor
    again, while the child mounts). Times in seconds; `began` counts from the first operation."""

    who: str
    name: str
    text: str
    calls: tuple[str, ...]
    undoing: str
    began: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    container_id: str
    name: str
    steps: tuple[ExplainedStep, ...]
    command: tuple[str, ...]
    seconds: float  # from the first operation to the program
