"""The targets, arguments and secrets of a Dockerfile, from its text alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dockmagic_runtime.builder.plan.scope import Scope
from dockmagic_runtime.builder.plan.stages import Stages, located
from dockmagic_runtime.dockerfile import Dockerfile, Stage
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.model.outline import (
    BuildArgument,
    BuildInput,
    BuildOutline,
    BuildTarget,
)


def outline(dockerfile: Dockerfile, request: BuildRequest) -> BuildOutline:
    """Raises DockerfileError for what is wrong with it, InvalidInput for an unknown target."""
    stages = Stages.of(dockerfile, request, {})
    needed, last = stages.needed(), len(dockerfile.stages) - 1
    targets = tuple(_target(stage, is_default=stage.index == last) for stage in dockerfile.stages)
    return BuildOutline(
        targets=targets,
        target=targets[stages.target().index],
        arguments=tuple(_arguments(stages, needed)),
        secrets=_inputs(needed, "secret"),
        ssh=_inputs(needed, "ssh"),
    )


def _target(stage: Stage, *, is_default: bool) -> BuildTarget:
    return BuildTarget(
        name=stage.name or str(stage.index),
        base=stage.base.image,
        description=stage.base.description(stage.name),
        is_default=is_default,
    )


def _arguments(stages: Stages, needed: Iterable[Stage]) -> Iterator[BuildArgument]:
    """Those before the first FROM, then those of the stages; each name once."""
    arguments: dict[str, BuildArgument] = {}
    for arg in stages.dockerfile.arguments:
        for pair in arg.pairs:
            value = stages.outer.get(pair.name)
            arguments[pair.name] = _argument(arg, pair.name, value)
    for stage in needed:
        scope = Scope(stages.request.build_args, stages.outer, stages.dockerfile.escape)
        for instruction in stage.instructions:
            if isinstance(instruction, i.Arg):
                with located(stages.dockerfile, instruction):
                    declared, _ = scope.declare(instruction)
                for pair in declared.pairs:
                    argument = _argument(instruction, pair.name, pair.value)
                    before = arguments.get(pair.name)
                    if before is None or not before.description:
                        arguments[pair.name] = argument
    yield from arguments.values()


def _argument(arg: i.Arg, name: str, value: str | None) -> BuildArgument:
    return BuildArgument(name=name, value=value, description=arg.description(name))


def _inputs(stages: Iterable[Stage], kind: str) -> tuple[BuildInput, ...]:
    """By id; required where any step requires it."""
    inputs: dict[str, bool] = {}
    mounts = (
        mount
        for stage in stages
        for instruction in stage.instructions
        if isinstance(instruction, i.Run)
        for mount in instruction.mounts
        if mount.kind == kind
    )
    for mount in mounts:
        options = mount.options
        target = options.get("target") or options.get("dst") or options.get("destination") or ""
        usual = "default" if kind == "ssh" else target.rpartition("/")[2]
        name = options.get("id") or options.get("source") or options.get("src") or usual
        is_required = options.get("required", "false").lower() in ("true", "1", "")
        inputs[name] = inputs.get(name, False) or is_required
    return tuple(BuildInput(id=name, required=required) for name, required in inputs.items())
