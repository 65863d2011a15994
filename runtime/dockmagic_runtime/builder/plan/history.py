"""The history entries of instructions, in BuildKit's words: what `docker history` shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from dockmagic_runtime.builder.plan.config import StageConfig
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.ports import parse_ports
from dockmagic_runtime.model.go_values import duration_text, quote

COMMENT: Final = "buildkit.dockerfile.v0"
_LAYER: Final = " # buildkit"  # behind the instructions that BuildKit makes a layer of
_HEALTH_TIMES: Final = ("interval", "timeout", "start_period", "start_interval")


def created_by(instruction: i.Instruction, config: StageConfig) -> str:
    """What an expanded instruction leaves in the history; `config` is that after it.

    Empty for what leaves nothing: FROM and ONBUILD. RUN has `run_created_by`.
    """
    match instruction:
        case i.Copy() | i.Add():
            return _transfer(instruction)
        case i.Env() | i.Label() | i.Arg():
            return " ".join((instruction.keyword, *map(_pair, instruction.pairs)))
        case i.Cmd():
            return f"CMD {_quoted(config.json.get('Cmd') or ())}"
        case i.Entrypoint():
            return f"ENTRYPOINT {_quoted(config.json.get('Entrypoint') or ())}"
        case i.Healthcheck():
            return f"HEALTHCHECK {_health(instruction)}"
        case i.From() | i.Onbuild():
            return ""
    return f"{instruction.keyword} {_argument(instruction, config)}"


def run_created_by(command: Sequence[str], arguments: Iterable[str]) -> str:
    """`arguments` are `NAME=value` of the ARGs that the stage has declared, in order."""
    given = tuple(arguments)
    count = (f"|{len(given)}",) if given else ()
    return " ".join(("RUN", *count, *given, *command)) + _LAYER


def _argument(instruction: i.Instruction, config: StageConfig) -> str:
    match instruction:
        case i.Workdir():
            return config.working_dir
        case i.User():
            return instruction.user
        case i.Volume():
            return _list(instruction.paths)
        case i.Expose():
            return _list(port for word in instruction.ports for port in parse_ports(word))
        case i.StopSignal():
            return instruction.signal
        case i.Shell():
            return _list(instruction.args)
        case i.Maintainer():
            return instruction.maintainer
    raise TypeError(f"not an instruction of one argument: {instruction!r}")


def _transfer(transfer: i.Copy | i.Add) -> str:
    """Without the flags that only say where files come from."""
    flags = ["--parents"] if isinstance(transfer, i.Copy) and transfer.parents else []
    flags += [f"--chown={transfer.chown}"] if transfer.chown else []
    flags += [f"--chmod={transfer.chmod}"] if transfer.chmod else []
    paths = [source for source in transfer.sources if transfer.heredoc(source) is None]
    heredocs = filter(None, map(transfer.heredoc, transfer.sources))
    texts = [f"<<{heredoc.name}" for heredoc in heredocs]
    words = (transfer.keyword, *flags, *paths, *texts, transfer.destination)
    return " ".join(words) + _LAYER


def _pair(pair: i.Pair) -> str:
    return pair.name if pair.value is None else f"{pair.name}={pair.value}"


def _list(words: Iterable[str]) -> str:
    """Go's `%v` of a list."""
    return f"[{' '.join(words)}]"


def _quoted(words: Iterable[str]) -> str:
    """Go's `%q` of a list."""
    return _list(map(quote, words))


def _health(check: i.Healthcheck) -> str:
    """Go's `%q` of a pointer to the structure in the config."""
    times = [quote(duration_text(getattr(check, name))) for name in _HEALTH_TIMES]
    return f"&{{{_quoted(check.test)} {' '.join(times)} {_rune(check.retries)}}}"


def _rune(number: int) -> str:
    text = quote(chr(number))[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{text}'"


def entry(created_by: str, *, created: str = "", is_empty: bool) -> dict[str, Any]:
    """An entry of an image's history. `created` is empty while it is not known."""
    document: dict[str, Any] = {"created": created, "created_by": created_by, "comment": COMMENT}
    if is_empty:
        document["empty_layer"] = True
    return document


def with_times(history: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Entries without a time get the first one that follows a gap, then those before them.

    So a change of the config alone has the time of a layer, and the image of an unchanged
    Dockerfile is the same one however often it is built.
    """
    current = _first_time(history)
    filled, in_gap = [], False
    for old in history:
        if old.get("created"):
            current = old["created"] if in_gap else current
            filled.append(old)
        else:
            in_gap = True
            filled.append({**old, "created": current} if current else _without_time(old))
    return tuple(filled)


def _first_time(history: Sequence[dict[str, Any]]) -> str:
    """The time of the first entry behind a gap, or the last one of all."""
    current, in_gap = "", False
    for old in history:
        if not old.get("created"):
            in_gap = True
            continue
        current = old["created"]
        if in_gap:
            break
    return current


def _without_time(old: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in old.items() if key != "created"}
