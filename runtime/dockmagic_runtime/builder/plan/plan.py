"""Dockerfile, request and base images' configs → the steps to do. Pure: no disk, no clock.

Everything a step depends on is known here: variables have their values, paths are absolute, the
config after each step is computed. What is read and cannot be executed is refused here, with its
line, so that nothing is ever silently left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from dockmagic_runtime.builder.plan.checks import as_warning, from_checks, is_reported
from dockmagic_runtime.builder.plan.names import canonical
from dockmagic_runtime.builder.plan.source_date_epoch import ARGUMENT as EPOCH
from dockmagic_runtime.builder.plan.source_date_epoch import epoch_of
from dockmagic_runtime.builder.plan.stage_planner import StagePlanner, StageResult
from dockmagic_runtime.builder.plan.stages import SCRATCH, Stages, needed_images
from dockmagic_runtime.builder.plan.steps import (
    Base,
    BaseStep,
    Load,
    Plan,
    RunStep,
    Step,
    TransferStep,
    WorkdirStep,
)
from dockmagic_runtime.dockerfile import Dockerfile, Problem, Stage
from dockmagic_runtime.model.build import BuildRequest, BuildWarning

__all__ = ["Base", "Plan", "make_plan", "needed_images"]

_BUILDKIT: Final = "BUILDKIT_"  # these arguments are settings of the builder


def make_plan(
    dockerfile: Dockerfile, request: BuildRequest, bases: Mapping[str, Base], first_number: int = 1
) -> Plan:
    """The steps of the request's target. `bases` has every image of `needed_images`;
    `first_number` is the number of the first step in the build's progress."""
    return _Planner(Stages.of(dockerfile, request, bases), bases).plan(first_number)


class _Planner:
    def __init__(self, stages: Stages, bases: Mapping[str, Base]) -> None:
        self._stages = stages
        self._dockerfile = stages.dockerfile
        self._request = stages.request
        self._bases = bases
        self._results: dict[int, StageResult] = {}
        self._warnings: list[Problem] = []
        self._used_args = set(stages.scope.used)

    def plan(self, first_number: int) -> Plan:
        steps: list[Step] = []
        for stage in self._stages.needed():
            steps += self._plan_stage(stage)
        target = self._stages.target().index
        numbered, loads, last = _numbered(steps, first_number)
        return Plan(
            steps=numbered,
            loads=loads,
            last_number=last,
            target=target,
            config=self._results[target].config.with_labels(self._request.labels),
            warnings=self._all_warnings(),
            epoch=epoch_of(self._request.build_args),
            uncached=self._stages.uncached(),
            source=self._dockerfile,
        )

    def _all_warnings(self) -> tuple[BuildWarning, ...]:
        given = {name for name in self._request.build_args if not name.startswith(_BUILDKIT)}
        unused = sorted(given - self._used_args - {EPOCH})
        self._check_unneeded()
        of_bases = from_checks(self._dockerfile, self._stages.scope)
        later = self._dockerfile.wanted([*of_bases, *self._warnings])
        planned = [self._dockerfile.stages[index] for index in self._results]
        early = [
            warning
            for warning in self._dockerfile.warnings
            if is_reported(warning, self._dockerfile, planned)
        ]
        problems = sorted((*early, *later), key=lambda problem: problem.line)
        warnings = [as_warning(self._dockerfile, problem) for problem in problems]
        if unused:
            text = f"One or more build-args {unused} were not consumed".replace("'", "")
            warnings.append(BuildWarning(text=text))
        return tuple(warnings)

    def _check_unneeded(self) -> None:
        """`--check` without a target looks at the other stages too."""
        if self._request.check and not self._request.target:
            for stage in self._dockerfile.stages:
                if stage.index not in self._results:
                    self._plan_stage(stage)

    def _plan_stage(self, stage: Stage) -> list[Step]:
        planner = StagePlanner(self._stages, stage, self._bases)
        steps = planner.steps(self._results)
        self._results[stage.index] = planner.result
        self._warnings += planner.warnings
        self._used_args |= planner.used_args
        return steps


def _numbered(steps: list[Step], first: int) -> tuple[tuple[Step, ...], tuple[Load, ...], int]:
    """Steps with their numbers: base images first, then contexts, then all others in order."""
    numbers = iter(range(first, first + 2 * len(steps) + 2))
    last = first - 1
    given: dict[int, int] = {}
    for place, step in enumerate(steps):
        if isinstance(step, BaseStep) and step.name:
            given[place] = last = next(numbers)
    loads = []
    for name in dict.fromkeys(_loads(steps)):
        last = next(numbers)
        loads.append(Load(last, name))
    for place, step in enumerate(steps):
        if isinstance(step, (RunStep, TransferStep, WorkdirStep)) and step.name:
            given[place] = last = next(numbers)
    numbered = (replace(step, number=given.get(place, 0)) for place, step in enumerate(steps))
    return tuple(numbered), tuple(loads), last


def _loads(steps: list[Step]) -> Iterator[str]:
    """What is made ready besides base images: images that are copied from, and contexts."""
    for step in steps:
        for source in step.sources_of_files:
            if source.image and source.image.lower() != SCRATCH:
                yield f"FROM {canonical(source.image)}"
            elif source.is_main_context:
                yield "[internal] load build context"
            elif source.is_context:
                yield f"[context {source.context}] load from client"
