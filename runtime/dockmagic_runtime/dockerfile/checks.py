"""Build checks that need the whole file: what is allowed and unwise. Those of one line are noted
where the line is read, those that need values where the build is planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dockmagic_runtime.dockerfile.errors import Problem
from dockmagic_runtime.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Expose,
    From,
    Healthcheck,
    Instruction,
)


def problem(instruction: Instruction, reason: str, rule: str = "") -> Problem:
    """What is to be said about a whole instruction."""
    position = instruction.position
    return Problem(
        line=position.line,
        last_line=position.last_line,
        column=position.column,
        reason=reason,
        rule=rule,
    )


def stage_checks(base: From, instructions: Sequence[Instruction]) -> Iterator[Problem]:
    """Of one stage."""
    yield from _from(base)
    for kind in (Cmd, Entrypoint, Healthcheck):
        given = [instruction for instruction in instructions if isinstance(instruction, kind)]
        reason = (
            f"Multiple {kind.keyword} instructions should not be used in the same stage "
            "because only the last one will be used"
        )
        for ignored in given[:-1]:
            yield problem(ignored, reason, "MultipleInstructionsDisallowed")
    for instruction in instructions:
        if isinstance(instruction, Expose):
            yield from _protocols(instruction)


def _from(base: From) -> Iterator[Problem]:
    words = base.text.split()
    keyword = words[0]
    if len(words) > 2 and base.name and words[-2].lower() == "as":
        as_ = words[-2]
        if as_.isupper() != keyword.isupper() or as_.islower() != keyword.islower():
            reason = f"'{as_}' and '{keyword}' keywords' casing do not match"
            yield problem(base, reason, "FromAsCasing")
    if base.platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        reason = (
            f"Setting platform to predefined {base.platform} in FROM is redundant as this is the "
            "default behavior"
        )
        yield problem(base, reason, "RedundantTargetPlatform")
    elif base.platform and "$" not in base.platform and not _names_platform(base):
        reason = f'FROM --platform flag should not use constant value "{base.platform}"'
        yield problem(base, reason, "FromPlatformFlagConstDisallowed")


def _names_platform(base: From) -> bool:
    """Whether the stage is named after its platform, as in `my_amd64_stage`: it is on purpose."""
    return any(part and part in base.name for part in base.platform.split("/")[:2])


def _protocols(expose: Expose) -> Iterator[Problem]:
    for port in expose.ports:
        protocol = port.rpartition("/")[2] if "/" in port else ""
        if protocol != protocol.lower() and "$" not in protocol:
            reason = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            yield problem(expose, reason, "ExposeProtoCasing")


def descriptions(instructions: Iterable[Instruction]) -> Iterator[Problem]:
    """A comment right above a stage or an argument describes it, and begins with its name."""
    for instruction in instructions:
        if not instruction.comments or not isinstance(instruction, (Arg, From)):
            continue
        if isinstance(instruction, From):
            what, names = "build stage", [instruction.name]
        else:
            what, names = "argument", [pair.name for pair in instruction.pairs]
        if not any(names) or instruction.comments[-1].split(" ")[0] in names:
            continue
        example = names[0] if len(names) == 1 else "<arg_key>"
        reason = f"Comment for {what} should follow the format: `# {example} <description>`"
        yield problem(instruction, reason, "InvalidDefinitionDescription")


def casing(instructions: Iterable[Instruction]) -> Iterator[Problem]:
    """Keywords are written as most of the file's are."""
    written = [instruction for instruction in instructions if instruction.text.strip()]
    words = [(instruction, instruction.text.split(None, 1)[0]) for instruction in written]
    lower = sum(word.islower() for _, word in words)
    upper = sum(word.isupper() for _, word in words)
    wanted = "lowercase" if lower > upper else "uppercase"
    for instruction, word in words:
        if not (word.islower() if lower > upper else word.isupper()):
            reason = f"Command '{word}' should match the case of the command majority ({wanted})"
            yield problem(instruction, reason, "ConsistentInstructionCasing")
