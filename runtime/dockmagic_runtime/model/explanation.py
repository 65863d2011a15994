"""How a container was made: the plan's operations, with what each took."""

from __future__ import annotations

from msgspec import Struct


class ExplainedStep(Struct, frozen=True, kw_only=True):
    """One operation. `who` executed it: "start process", "child" or "network" (the start process
    again, while the child mounts). Times in seconds; `began` counts from the first operation."""

    who: str
    name: str
    text: str
    calls: tuple[str, ...]
    undoing: str
    began: float
    seconds: float


class Explanation(Struct, frozen=True, kw_only=True):
    container_id: str
    name: str
    steps: tuple[ExplainedStep, ...]
    command: tuple[str, ...]
    seconds: float  # from the first operation to the program


class ExplainedBuildStep(Struct, frozen=True, kw_only=True):
    """One step of a build: `reason` says why the cache was missed, and is empty for a hit.

    `created` is when a hit's result was made (RFC 3339); `files` are those whose contents were
    compared; `needs` are the numbers of the steps of other stages that it takes something from.
    `number` and `name` are those of the build's progress.
    """

    number: int
    stage: int
    line: int
    instruction: str
    kind: str  # "base" | "run" | "copy" | "workdir"
    name: str = ""
    cached: bool = False
    reason: str = ""
    created: str = ""
    seconds: float = 0.0
    size: int = 0
    files: int = 0
    needs: tuple[int, ...] = ()

    @property
    def begins(self) -> bool:
        """Whether it is a FROM, which no cache is asked for."""
        return self.kind == "base"


class BuildExplanation(Struct, frozen=True, kw_only=True):
    """A build step by step, as it was recorded while it went on.

    `is_stand_in`: it made an image of the catalogue's.
    """

    image_id: str
    file_name: str
    steps: tuple[ExplainedBuildStep, ...]
    seconds: float
    is_stand_in: bool = False
