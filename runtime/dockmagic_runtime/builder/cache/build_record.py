"""`BuildRecorder`: the outcome of each step of a build, kept with the image for `explain`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from msgspec import to_builtins

from dockmagic_runtime.builder.cache.store import BuildCache, explanation_key
from dockmagic_runtime.builder.plan.steps import (
    BaseStep,
    Plan,
    RunStep,
    Step,
    TransferStep,
    WorkdirStep,
)
from dockmagic_runtime.model.build import BuildEvent, BuildRequest, StepDone
from dockmagic_runtime.model.explanation import BuildExplanation, ExplainedBuildStep
from dockmagic_runtime.model.image import STAND_IN_LABEL

_KINDS: dict[type[Step], str] = {
    BaseStep: "base", RunStep: "run", TransferStep: "copy", WorkdirStep: "workdir",
}  # fmt: skip


class BuildRecorder:
    """Records one build from its events."""

    def __init__(self, plan: Plan, request: BuildRequest) -> None:
        self._plan = plan
        self._request = request
        self._done: dict[int, StepDone] = {}
        self._began = time.monotonic()

    def watched(self, events: Iterator[BuildEvent]) -> Iterator[BuildEvent]:
        """Passes the events on and records the ends of steps."""
        for event in events:
            if isinstance(event, StepDone):
                self._done[event.number] = event
            yield event

    @property
    def has_misses(self) -> bool:
        """Whether any step of the Dockerfile was executed."""
        return any(not self._done[step.number].cached for step in self._steps)

    @property
    def _steps(self) -> list[Step]:
        return [step for step in self._plan.steps if step.number]

    def explanation(self, image_id: str) -> BuildExplanation:
        return BuildExplanation(
            image_id=image_id,
            file_name=self._request.file_name,
            steps=tuple(self._explained(step, self._done[step.number]) for step in self._steps),
            seconds=time.monotonic() - self._began,
            is_stand_in=STAND_IN_LABEL in self._request.labels,
        )

    def _explained(self, step: Step, done: StepDone) -> ExplainedBuildStep:
        return ExplainedBuildStep(
            number=step.number,
            name=step.name,
            stage=step.stage,
            line=step.line,
            instruction=step.text,
            kind=_KINDS[type(step)],
            cached=done.cached,
            reason=done.reason,
            created=done.created if done.cached else "",
            seconds=done.seconds,
            size=done.size,
            files=done.files,
            needs=tuple(filter(None, map(self._last, self._needs(step)))),
        )

    def _needs(self, step: Step) -> list[int]:
        """The other stages that the step takes something from, or that its stage begins with."""
        before = [other for other in self._plan.steps if other.stage == step.stage]
        first = next(other for other in before if other.number)
        begin = before[0].needs if first is step else ()
        return [*begin, *step.needs]

    def _last(self, stage: int) -> int:
        """The number of the stage's last step; of the stage that it begins with if it has none."""
        steps = [step for step in self._plan.steps if step.stage == stage]
        numbers = [step.number for step in steps if step.number]
        if numbers or not steps[0].needs:
            return max(numbers, default=0)
        return self._last(steps[0].needs[0])


def keep(cache: BuildCache, explanation: BuildExplanation) -> None:
    cache.add_facts(explanation_key(explanation.image_id), to_builtins(explanation))


def kept(cache: BuildCache, image_id: str) -> BuildExplanation | None:
    """How the image was built; None if it was not built here, or the record was pruned."""
    facts = cache.facts(explanation_key(image_id))
    if facts is None:
        return None
    steps = tuple(_step(entry) for entry in facts.pop("steps"))
    return BuildExplanation(steps=steps, **facts)


def _step(facts: dict[str, Any]) -> ExplainedBuildStep:
    return ExplainedBuildStep(**{**facts, "needs": tuple(facts["needs"])})
