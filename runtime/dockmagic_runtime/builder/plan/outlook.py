"""What a plan is going to do, as the build's first event says it: all steps before any begins."""

from __future__ import annotations

from collections import Counter

from dockmagic_runtime.builder.plan.steps import Plan, Step
from dockmagic_runtime.model.build import BuildStarted, PlannedStep


def started(plan: Plan) -> BuildStarted:
    """The event that says that the plan is made."""
    own = [PlannedStep(number=load.number, name=load.name) for load in plan.loads]
    return BuildStarted(
        steps=plan.last_number,
        stages=len({step.stage for step in plan.steps}),
        warnings=plan.warnings,
        planned=tuple(sorted([*own, *_of_stages(plan)], key=lambda step: step.number)),
    )


def _of_stages(plan: Plan) -> list[PlannedStep]:
    numbered = [step for step in plan.steps if step.number]
    counts = Counter(step.stage for step in numbered)
    places: Counter[int] = Counter()
    planned = []
    for step in numbered:
        places[step.stage] += 1
        planned.append(
            PlannedStep(
                number=step.number,
                name=step.name,
                instruction=step.text,
                line=step.line,
                last_line=step.last_line,
                stage=_stage_name(plan, step.stage),
                place=places[step.stage],
                count=counts[step.stage],
                needs=_needs(plan, step),
            )
        )
    return planned


def _needs(plan: Plan, step: Step) -> tuple[str, ...]:
    """Also the stage that its own begins with, which is a step without a number."""
    return tuple(dict.fromkeys(_stage_name(plan, number) for number in step.needs))


def _stage_name(plan: Plan, index: int) -> str:
    name = plan.source.stages[index].name if plan.source else ""
    return name or f"stage-{index}"
