"""Build checks that need values, images or the context; Docker's names and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dockmagic_runtime.builder.plan.scope import Scope, Variables
from dockmagic_runtime.builder.plan.stages import host_platform, platform_arguments
from dockmagic_runtime.builder.plan.steps import Base, Step, TransferStep
from dockmagic_runtime.dockerfile import Dockerfile, Problem, Stage
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.checks import problem
from dockmagic_runtime.dockerfile.errors import excerpt
from dockmagic_runtime.dockerfile.expand import expand
from dockmagic_runtime.dockerfile.gopattern import IgnoreRules
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.build import BuildWarning
from dockmagic_runtime.model.reference import ImageReference


def as_warning(dockerfile: Dockerfile, problem: Problem) -> BuildWarning:
    """The problem as the builder's events report it."""
    drawn = excerpt(dockerfile.source.split("\n"), problem.line, problem.column)
    return BuildWarning(
        text=str(problem),
        reason=problem.reason,
        rule=problem.rule,
        line=problem.line,
        excerpt=drawn,
    )


def undefined(instruction: i.Instruction, names: Iterable[str]) -> Iterator[Problem]:
    for name in sorted(names):
        yield problem(instruction, f"Usage of undefined variable '${name}'", "UndefinedVar")


def from_checks(dockerfile: Dockerfile, stages: Sequence[Stage], outer: Scope) -> Iterator[Problem]:
    """Checks variables of FROM lines: undeclared ones, and defaults that give no image name."""
    given = {**platform_arguments(), **outer.arguments()}
    defaults = _defaults(dockerfile)
    for stage in stages:
        variables = Variables(given)
        for text in (stage.base.image, stage.base.platform):
            expand(text, variables, dockerfile.escape)
        for name in sorted(variables.missing):
            reason = f"FROM argument '{name}' is not declared"
            yield problem(stage.base, reason, "UndefinedArgInFrom")
        if "$" in stage.base.image and not variables.missing:
            yield from _default_base(stage.base, defaults, dockerfile.escape)


def _defaults(dockerfile: Dockerfile) -> dict[str, str]:
    """The arguments' values without any build argument."""
    scope = Scope({}, {}, platform_arguments(), dockerfile.escape)
    for arg in dockerfile.arguments:
        scope.declare(arg, platform_arguments())
    return {**platform_arguments(), **scope.arguments()}


def _default_base(base: i.From, defaults: dict[str, str], escape: str) -> Iterator[Problem]:
    try:
        ImageReference.parse(expand(base.image, defaults, escape))
    except InvalidInput:
        reason = (
            f"Default value for ARG {base.image} results in an empty or invalid base image name"
        )
        yield problem(base, reason, "InvalidDefaultArgInFrom")


def relative_workdir(written: i.Workdir, path: str, *, is_set: bool) -> Iterator[Problem]:
    if not path.startswith("/") and not is_set:
        reason = f'Relative workdir "{path}" can have unexpected results if the base image changes'
        yield problem(written, reason, "WorkdirRelativePath")


def base_platform(instruction: i.From, base: Base) -> Iterator[Problem]:
    system, architecture = base.config.get("os"), base.config.get("architecture")
    if architecture and f"{system}/{architecture}" != host_platform():
        reason = (
            f'Base image {instruction.image} was pulled with platform "{system}/{architecture}", '
            f'expected "{host_platform()}" for current build'
        )
        yield problem(instruction, reason, "InvalidBaseImagePlatform")


def ignored_sources(steps: Iterable[Step], rules: IgnoreRules) -> Iterator[Problem]:
    """COPYs of what .dockerignore leaves out."""
    for step in steps:
        if (
            isinstance(step, TransferStep)
            and step.source_stage.is_context
            and not step.source_stage.context
        ):
            for source in step.sources:
                path = source.strip("/").removeprefix("./")
                if path not in ("", ".") and rules.excludes(path):
                    verb = step.keyword.capitalize()
                    reason = (
                        f'Attempting to {verb} file "{source}" that is excluded by .dockerignore'
                    )
                    yield problem(step.instruction, reason, "CopyIgnoredFile")
