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
    Shell,
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
        given = [one for one in instructions if isinstance(one, kind)]
        reason = (
            f"Multiple {kind.keyword} instructions should not be used in the same stage "
            "because only the last one will be used"
        )
        yield from (problem(one, reason, "MultipleInstructionsDisallowed") for one in given[:-1])
    yield from _shell_forms(instructions)
    for one in instructions:
        if isinstance(one, Expose):
            yield from _protocols(one)


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
    elif base.platform and "$" not in base.platform:
        reason = f'FROM --platform flag should not use constant value "{base.platform}"'
        yield problem(base, reason, "FromPlatformFlagConstDisallowed")


def _shell_forms(instructions: Sequence[Instruction]) -> Iterator[Problem]:
    """Whoever has set SHELL has thought about the shell."""
    has_shell = False
    for one in instructions:
        has_shell = has_shell or isinstance(one, Shell)
        if has_shell or not isinstance(one, (Cmd, Entrypoint)):
            continue
        if one.command.is_shell and one.command.args and not _looks_like_json(one):
            reason = (
                f"JSON arguments recommended for {one.keyword} to prevent unintended behavior "
                "related to OS signals"
            )
            yield problem(one, reason, "JSONArgsRecommended")


def _looks_like_json(one: Cmd | Entrypoint) -> bool:
    return one.command.args[0].startswith("[")  # that has a warning of its own


def _protocols(expose: Expose) -> Iterator[Problem]:
    for port in expose.ports:
        protocol = port.rpartition("/")[2] if "/" in port else ""
        if protocol != protocol.lower() and "$" not in protocol:
            reason = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            yield problem(expose, reason, "ExposeProtoCasing")


def descriptions(instructions: Iterable[Instruction]) -> Iterator[Problem]:
    """A comment right above a stage or an argument tells of it, and begins with its name."""
    for one in instructions:
        if not one.comments or not isinstance(one, (Arg, From)):
            continue
        names = [one.name] if isinstance(one, From) else [pair.name for pair in one.pairs]
        if not any(names) or one.comments[-1].split(" ")[0] in names:
            continue
        what = "build stage" if isinstance(one, From) else "argument"
        example = names[0] if len(names) == 1 else "<arg_key>"
        reason = f"Comment for {what} should follow the format: `# {example} <description>`"
        yield problem(one, reason, "InvalidDefinitionDescription")


def casing(instructions: Iterable[Instruction]) -> Iterator[Problem]:
    """Keywords are written as most of the file's are."""
    words = [(one, one.text.split(None, 1)[0]) for one in instructions if one.text.strip()]
    lower = sum(word.islower() for _, word in words)
    upper = sum(word.isupper() for _, word in words)
    wanted = "lowercase" if lower > upper else "uppercase"
    for one, word in words:
        if not (word.islower() if lower > upper else word.isupper()):
            reason = f"Command '{word}' should match the case of the command majority ({wanted})"
            yield problem(one, reason, "ConsistentInstructionCasing")
