"""`dockmagic explain build`, and of an image: why each step was in the cache, or was not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dockmagic.commands.builder import build as build_verb
from dockmagic.commands.builder.build import Built
from dockmagic.commands.options.reading import read
from dockmagic.commands.output.result import Event, Result
from dockmagic.commands.output.table import ellipsis, layout
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.explanation import BuildExplanation, ExplainedBuildStep

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_INSTRUCTION = 60  # characters of it that are shown
_HITS = {
    "config": "the same instruction on the same steps",
    "run": "the same command on the same layers",
    "workdir": "the same directory on the same layers",
}


class ExplainedBuild(Result, frozen=True):
    """The engine's `BuildExplanation`."""

    explanation: BuildExplanation

    @property
    def steps(self) -> tuple[ExplainedBuildStep, ...]:
        return self.explanation.steps

    def text(self) -> str:
        rows = [["STEP", "CACHE", "TOOK", "SIZE", "INSTRUCTION", "WHY"]]
        return layout([*rows, *map(_row, self.steps)])

    def stable(self) -> str:
        return layout(
            [(str(step.number), state(step), shown(step), why(step)) for step in self.steps]
        )

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "step": step.number,
                "stage": step.stage,
                "line": step.line,
                "instruction": step.instruction,
                "cached": step.cached,
                "why": why(step),
                "seconds": step.seconds,
                "size": step.size,
            }
            for step in self.steps
        ]

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> ExplainedBuildStep:
        return self.steps[index]


def _row(step: ExplainedBuildStep) -> list[str]:
    size = decimal_size(step.size) if step.size and not step.cached else ""
    created = f", made {step.created[:19].replace('T', ' ')}" if step.created else ""
    took = f"{step.seconds * 1e3:.1f} ms"
    return [str(step.number), state(step), took, size, shown(step), why(step) + created]


def shown(step: ExplainedBuildStep) -> str:
    """The instruction in one line."""
    return ellipsis(" ".join(step.instruction.split()), _INSTRUCTION)


def state(step: ExplainedBuildStep) -> str:
    if step.begins:
        return "" if step.cached else "pulled"
    return "hit" if step.cached else "miss"


def why(step: ExplainedBuildStep) -> str:
    """The reason, for a hit as for a miss."""
    if step.begins:
        return _base(step)
    if not step.cached:
        return step.reason
    if step.kind == "copy":
        return _files(step, "contents unchanged")
    return _files(step, "") or _HITS[step.kind]


def _files(step: ExplainedBuildStep, otherwise: str) -> str:
    if not step.files:
        return otherwise
    return f"{step.files} file{'' if step.files == 1 else 's'} unchanged"


def _base(step: ExplainedBuildStep) -> str:
    if step.needs:
        return f"begins with what step {step.needs[0]} came to"
    return "the image is here" if step.cached else "the image was not here"


def explain(engine: EngineApi, reference: str) -> ExplainedBuild:
    """How an image was built. Raises NotFound."""
    return ExplainedBuild(engine.builds.explain(reference))


def explain_newest(engine: EngineApi) -> ExplainedBuild:
    """The newest image that was built here, and not by us as a stand-in for another.

    Raises NotFound when there is none.
    """
    for image in sorted(engine.images.list(), key=lambda image: image.created, reverse=True):
        with suppress(NotFound):
            explained = explain(engine, image.id)
            if not explained.explanation.is_stand_in:
                return explained
    raise NotFound("no image here was built", hint="'docker explain build .' builds one")


def explained(engine: EngineApi, words: list[str]) -> Iterator[Event]:
    """Build for real, and explain it in the place of its result."""
    for event in build_verb.run(engine, read(build_verb.parser(), words)):
        if isinstance(event, Built) and event.explanation is not None:
            yield ExplainedBuild(event.explanation)
        else:
            yield event
