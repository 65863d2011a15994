"""A Dockerfile as text again, and instructions in their one spelling, as the history has them.

`parse(render(d)) == d` for every parsed `d`, and `parse(render_instruction(i))` gives `i`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.lines import continues
from dockmagic_runtime.dockerfile.parse import Dockerfile
from dockmagic_runtime.model.go_values import duration_text


def render(dockerfile: Dockerfile) -> str:
    """The whole file as it was written, comments and all, but for white space: one instruction a
    line, and comments that stood inside of one above it."""
    rows = [f"# {name}={value}" for name, value in dockerfile.directives.items()]
    rows.append("")  # so that a comment does not become a directive
    for instruction in _instructions(dockerfile):
        rows += [*instruction.remarks, _written(instruction, dockerfile.escape)]
    return "\n".join([*rows, *dockerfile.remarks]) + "\n"


def _instructions(dockerfile: Dockerfile) -> Iterable[i.Instruction]:
    yield from dockerfile.arguments
    for stage in dockerfile.stages:
        yield stage.base
        yield from stage.instructions


def _written(instruction: i.Instruction, escape: str) -> str:
    # at the end of a file only: an escape that would continue the line needs another behind it
    end = f" {escape}" if continues(instruction.text, escape) else ""
    return instruction.text + end + _documents(instruction)


def _documents(instruction: i.Instruction) -> str:
    return "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)


def render_instruction(instruction: i.Instruction) -> str:
    """One instruction with its heredocs, without a newline at the end."""
    return _head(instruction) + _documents(instruction)


def _head(instruction: i.Instruction) -> str:
    arguments = _arguments(instruction)
    end_of_flags = "--" if arguments.startswith("--") else ""
    parts = (instruction.keyword, *_flags(instruction), end_of_flags, arguments)
    return " ".join(part for part in parts if part)


def _flags(instruction: i.Instruction) -> Iterable[str]:
    match instruction:
        case i.From():
            return (_flag("platform", instruction.platform),)
        case i.Run():
            return _run(instruction)
        case i.Copy() | i.Add():
            return _transfer(instruction)
        case i.Healthcheck():
            return _healthcheck(instruction)
    return ()


def _arguments(instruction: i.Instruction) -> str:
    match instruction:
        case i.From():
            return f"{instruction.image} AS {instruction.name}".removesuffix(" AS ")
        case i.Label() | i.Env():
            return _pairs(instruction.pairs, " " if instruction.legacy else "=")
        case i.Arg():
            return _pairs(instruction.pairs, "=")
        case i.Run() | i.Cmd() | i.Entrypoint():
            return _command(instruction.command)
        case i.Copy() | i.Add():
            return _list((*instruction.sources, instruction.destination), instruction.is_json)
        case i.Volume():
            return _list(instruction.paths, instruction.is_json)
        case i.Onbuild():
            return _head(instruction.trigger)
        case i.Shell():
            return _json(instruction.args)
    return _single(instruction)


def _single(instruction: i.Instruction) -> str:
    match instruction:
        case i.Workdir():
            return instruction.path
        case i.User():
            return instruction.user
        case i.StopSignal():
            return instruction.signal
        case i.Maintainer():
            return instruction.maintainer
        case i.Expose():
            return " ".join(instruction.ports)
        case i.Healthcheck():
            return _health_test(instruction.test)
    raise TypeError(f"not an instruction: {instruction!r}")


def _flag(name: str, value: str) -> str:
    return f"--{name}={value}" if value else ""


def _pairs(pairs: tuple[i.Pair, ...], separator: str) -> str:
    return " ".join(
        pair.name if pair.value is None else f"{pair.name}{separator}{pair.value}" for pair in pairs
    )


def _json(strings: tuple[str, ...]) -> str:
    return json.dumps(strings, ensure_ascii=False)


def _list(words: tuple[str, ...], is_json: bool) -> str:
    return _json(words) if is_json else " ".join(words)


def _command(command: i.Command) -> str:
    return "".join(command.args) if command.is_shell else _json(command.args)


def _run(run: i.Run) -> Iterable[str]:
    yield from (_flag("mount", mount.word) for mount in run.mounts)
    yield _flag("network", run.network)
    yield _flag("security", run.security)
    yield from (_flag("device", device) for device in run.devices)


def _transfer(transfer: i.Copy | i.Add) -> Iterable[str]:
    if isinstance(transfer, i.Copy):
        yield _flag("from", transfer.from_)
        yield "--parents" if transfer.parents else ""
    else:
        yield "--keep-git-dir" if transfer.keep_git_dir else ""
        yield _flag("checksum", transfer.checksum)
        yield "" if transfer.unpack is None else f"--unpack={str(transfer.unpack).lower()}"
    yield _flag("chown", transfer.chown)
    yield _flag("chmod", transfer.chmod)
    yield "--link" if transfer.link else ""
    yield from (f"--exclude={pattern}" for pattern in transfer.excludes)


def _healthcheck(check: i.Healthcheck) -> Iterable[str]:
    for name in ("interval", "timeout", "start_period", "start_interval"):
        value: int = getattr(check, name)
        yield _flag(name.replace("_", "-"), duration_text(value) if value else "")
    yield _flag("retries", str(check.retries) if check.retries else "")


def _health_test(test: tuple[str, ...]) -> str:
    kind, *args = test
    if kind == "NONE":
        return kind
    return f"CMD {args[0] if kind == 'CMD-SHELL' else _json(tuple(args))}"
