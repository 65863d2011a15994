"""A whole Dockerfile: its lines parsed one by one, joined into stages, all errors collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.dockerfile.check_options import CheckOptions
from dockmagic_runtime.dockerfile.checks import casing, descriptions, problem, stage_checks
from dockmagic_runtime.dockerfile.errors import DockerfileError, Problem, Refusal, listing, near
from dockmagic_runtime.dockerfile.grammar import parse_line
from dockmagic_runtime.dockerfile.instructions import (
    KEYWORDS,
    Arg,
    From,
    Instruction,
    Position,
)
from dockmagic_runtime.dockerfile.lines import Document, read
from dockmagic_runtime.dockerfile.words import cut
from dockmagic_runtime.model.selective import Selective


class Stage(Struct, frozen=True, kw_only=True):
    """From one FROM to the next."""

    index: int
    base: From
    instructions: tuple[Instruction, ...] = ()

    @property
    def name(self) -> str:
        return self.base.name


class Dockerfile(Selective, frozen=True, kw_only=True):
    """The parsed file. `arguments` are the ARGs before the first FROM.

    Two are equal when they mean the same: places, warnings and source text do not count.
    """

    not_shown: ClassVar[frozenset[str]] = frozenset({"remarks", "source"})
    not_compared: ClassVar[frozenset[str]] = frozenset(
        {"warnings", "checks", "remarks", "source", "file_name"}
    )

    stages: tuple[Stage, ...]
    arguments: tuple[Arg, ...] = ()
    directives: dict[str, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    checks: CheckOptions = field(default_factory=CheckOptions)
    remarks: tuple[str, ...] = ()  # at its end
    source: str = ""
    file_name: str = "Dockerfile"

    @property
    def escape(self) -> str:
        return self.directives.get("escape", "\\")

    def wanted(self, warnings: Iterable[Problem]) -> tuple[Problem, ...]:
        """Of warnings that were found later, those that the file wants. Raises DockerfileError
        where it says that they are errors."""
        kept = tuple(problem for problem in warnings if self.checks.counts(problem.rule))
        if kept and self.checks.is_error:
            raise DockerfileError(kept, self.source, self.file_name)
        return kept

    def stage(self, name: str) -> Stage | None:
        """The last stage of that name, or the one with that number."""
        wanted = name.lower()
        for stage in reversed(self.stages):
            if stage.name == wanted:
                return stage
        if name.isascii() and name.isdigit() and len(name) < 9 and int(name) < len(self.stages):
            return self.stages[int(name)]
        return None

    def listing(self, position: Position) -> str:
        """The lines that stand there, with those around them."""
        return listing(self.source, position.line, position.last_line, self.file_name)

    def error(self, position: Position, reason: str, suggestion: str = "") -> DockerfileError:
        """An error found later, when variables and images are known."""
        problem = Problem(
            line=position.line,
            last_line=position.last_line,
            column=position.column,
            reason=reason,
            suggestion=suggestion,
        )
        return DockerfileError((problem,), self.source, self.file_name)


def parse(text: str, file_name: str = "Dockerfile", checks: str | None = None) -> Dockerfile:
    """Read a whole Dockerfile. Raises DockerfileError with everything that is wrong.

    `checks` takes the place of its `check` directive.
    """
    _refuse_binary(text, file_name)
    document = read(text)
    options = _check_options(document, checks)
    instructions = list(_instructions(document))
    stages, arguments = _stages(instructions, document)
    warnings = sorted(
        (
            *document.warnings,
            *_checked(stages),
            *casing(instructions),
            *descriptions(instructions),
        ),
        key=lambda problem: (problem.line, problem.column),
    )
    warnings = [problem for problem in warnings if options.counts(problem.rule)]
    document.errors += warnings if options.is_error else ()
    errors = sorted(document.errors, key=lambda problem: (problem.line, problem.column))
    if errors:
        raise DockerfileError(errors, text, file_name, is_syntax=True)
    return Dockerfile(
        stages=stages,
        arguments=arguments,
        directives=document.directives,
        warnings=tuple(warnings),
        checks=options,
        remarks=tuple(document.remarks),
        source=text,
        file_name=file_name,
    )


def _check_options(document: Document, given: str | None) -> CheckOptions:
    text = document.directives.get("check", "") if given is None else given
    try:
        return CheckOptions.parse(text)
    except Refusal as refusal:
        document.errors.append(
            Problem(
                line=document.directive_lines.get("check", 1),
                last_line=document.directive_lines.get("check", 1),
                column=1,
                reason=refusal.reason,
                suggestion=refusal.suggestion,
            )
        )
        return CheckOptions()


def parse_trigger(expression: str, position: Position) -> Instruction:
    """One ONBUILD trigger out of a base image's config, placed at the FROM that brings it."""
    _refuse_binary(expression, "ONBUILD trigger")
    document = read(expression)
    instructions = list(_instructions(document))
    errors = list(document.errors)
    if not errors and len(instructions) != 1:
        reason = "an ONBUILD trigger must be one instruction"
        errors = [Problem(line=1, last_line=1, column=1, reason=reason)]
    if errors:
        raise DockerfileError(errors, expression, "ONBUILD trigger")
    return replace(instructions[0], position=position)


def _refuse_binary(text: str, file_name: str) -> None:
    """NUL ends strings in the kernel, and half a surrogate pair is no character at all."""
    at = text.find("\0")
    reason = "the file contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start if at < 0 else min(at, error.start)
        reason = "the file is not valid UTF-8"
    if at >= 0:
        line = text.count("\n", 0, at) + 1
        column = at - text.rfind("\n", 0, at)
        problem = Problem(line=line, last_line=line, column=column, reason=reason)
        raise DockerfileError((problem,), text, file_name)


def _instructions(document: Document) -> Iterable[Instruction]:
    for line in document.lines:
        try:
            instruction, notes = parse_line(line, document.escape)
        except Refusal as refusal:
            document.errors.append(line.problem(refusal))
            continue
        document.warnings += [line.problem(note, rule) for note, rule in notes]
        yield instruction


def _stages(
    instructions: list[Instruction], document: Document
) -> tuple[tuple[Stage, ...], tuple[Arg, ...]]:
    stages: list[tuple[From, list[Instruction]]] = []
    arguments: list[Arg] = []
    for instruction in instructions:
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        elif not _has_from_error(document):
            document.errors.append(
                problem(instruction, f"no build stage in current context: {_ADVICE}")
            )
            break
    if not stages and not document.errors:
        what = f"no build stage: {_ADVICE}" if instructions else "file with no instructions"
        document.errors.append(Problem(line=1, last_line=1, column=1, reason=what))
    staged = (
        Stage(index=index, base=base, instructions=tuple(body))
        for index, (base, body) in enumerate(stages)
    )
    return tuple(staged), tuple(arguments)


_ADVICE = "a Dockerfile begins with FROM"


def _has_from_error(document: Document) -> bool:
    """Whether a FROM is there and broken, so that its absence is not reported as well."""
    broken = {problem.line for problem in document.errors}
    words = {cut(line.text, 0)[0].text.upper() for line in document.lines if line.line in broken}
    return any(word == "FROM" or near(word, KEYWORDS) == "FROM" for word in words)


def _checked(stages: tuple[Stage, ...]) -> Iterable[Problem]:
    names: set[str] = set()
    for stage in stages:
        if stage.name and stage.name in names:
            reason = f'Duplicate stage name "{stage.name}", stage names should be unique'
            yield problem(stage.base, reason, "DuplicateStageName")
        names.add(stage.name)
        yield from stage_checks(stage.base, stage.instructions)
