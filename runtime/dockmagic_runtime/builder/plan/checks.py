"""Build checks that need values, images or the context; Docker's names and sentences."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dockmagic_runtime.builder.plan.scope import Scope
from dockmagic_runtime.builder.plan.stages import host_platform, outer_scope
from dockmagic_runtime.builder.plan.steps import Base, Step, TransferStep
from dockmagic_runtime.dockerfile import Dockerfile, Problem, Stage
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.checks import problem
from dockmagic_runtime.dockerfile.errors import listing, near
from dockmagic_runtime.dockerfile.expand import expand
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.build import BuildWarning
from dockmagic_runtime.model.reference import ImageReference

# found while a line is read, and reported only for the stages that are built
_OF_STAGES: Final = frozenset((
    "ExposeInvalidFormat",
    "ExposeProtoCasing",
    "LegacyKeyValueFormat",
    "MultipleInstructionsDisallowed",
    "SecretsUsedInArgOrEnv",
))  # fmt: skip


def as_warning(dockerfile: Dockerfile, problem: Problem) -> BuildWarning:
    """The problem as the builder's events report it."""
    first, last = problem.place
    return BuildWarning(
        text=str(problem),
        reason=problem.reason,
        rule=problem.rule,
        line=first,
        last_line=last,
        excerpt=listing(dockerfile.source, first, last, dockerfile.file_name),
    )


def is_reported(warning: Problem, dockerfile: Dockerfile, planned: Sequence[Stage]) -> bool:
    """Whether BuildKit would have met it when it builds these stages."""
    if warning.rule not in _OF_STAGES:
        return True
    before = [word for word in dockerfile.stages if word.base.position.line <= warning.line]
    return bool(before) and before[-1] in planned


def undefined(
    instruction: i.Instruction, names: Iterable[str], known: Iterable[str]
) -> Iterator[Problem]:
    for name in sorted(names):
        meant = near(name, tuple(known))
        more = f" (did you mean ${meant}?)" if meant else ""
        reason = f"Usage of undefined variable '${name}'{more}"
        yield problem(instruction, reason, "UndefinedVar")


def shell_form(instruction: i.Cmd | i.Entrypoint) -> Iterator[Problem]:
    """CMD and ENTRYPOINT in shell form, where no SHELL was chosen."""
    command = instruction.command
    # what looks like JSON and is none has a warning of its own
    if command.is_shell and command.args and not command.args[0].startswith("["):
        reason = (
            f"JSON arguments recommended for {instruction.keyword} to prevent unintended "
            "behavior related to OS signals"
        )
        yield problem(instruction, reason, "JSONArgsRecommended")


def from_checks(dockerfile: Dockerfile, outer: Scope) -> Iterator[Problem]:
    """Checks variables of FROM lines: undeclared ones, and defaults that give no image name."""
    defaults = outer_scope(dockerfile, {}).values
    for stage in dockerfile.stages:
        variables = outer.variables()
        for text in (stage.base.image, stage.base.platform):
            expand(text, variables, dockerfile.escape)
        for name in sorted(outer.undefined(variables)):
            meant = near(name, tuple({**outer.values, **outer.declared}))
            more = f" (did you mean {meant}?)" if meant else ""
            reason = f"FROM argument '{name}' is not declared{more}"
            yield problem(stage.base, reason, "UndefinedArgInFrom")
        if "$" in stage.base.image:
            yield from _default_base(stage.base, defaults, dockerfile.escape)


def _default_base(base: i.From, defaults: dict[str, str], escape: str) -> Iterator[Problem]:
    try:
        ImageReference.parse(expand(base.image, defaults, escape))
    except InvalidInput:
        reason = f"Default value for ARG {base.image} results in empty or invalid base image name"
        yield problem(base, reason, "InvalidDefaultArgInFrom")


def relative_workdir(instruction: i.Workdir, *, is_set: bool) -> Iterator[Problem]:
    path = instruction.path
    if not path.startswith("/") and not is_set:
        reason = f'Relative workdir "{path}" can have unexpected results if the base image changes'
        yield problem(instruction, reason, "WorkdirRelativePath")


def base_platform(instruction: i.From, base: Base) -> Iterator[Problem]:
    system, architecture = base.config.get("os"), base.config.get("architecture")
    if architecture and f"{system}/{architecture}" != host_platform():
        reason = (
            f'Base image {instruction.image} was pulled with platform "{system}/{architecture}", '
            f'expected "{host_platform()}" for current build'
        )
        yield problem(instruction, reason, "InvalidBaseImagePlatform")


def ignored_sources(steps: Iterable[Step], rules: IgnoreRules) -> Iterator[Problem]:
    """COPYs of what .dockerignore leaves out; exceptions (`!`) are too hard to foresee."""
    if rules.has_exceptions:
        return
    for step in steps:
        if isinstance(step, TransferStep) and step.source_stage.is_main_context:
            for source in step.sources:
                path = posixpath.normpath(source).lstrip("/")
                if path not in ("", ".") and rules.excludes(path):
                    verb = step.keyword.capitalize()
                    reason = (
                        f'Attempting to {verb} file "{source}" that is excluded by .dockerignore'
                    )
                    yield problem(step.instruction, reason, "CopyIgnoredFile")
