"""Docker's global options: what may stand before the command on a line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dockmagic.commands.global_table import GLOBAL_OPTIONS, GlobalOption
from dockmagic.commands.options.flags import (
    Arguments,
    Flag,
    HelpAsked,
    Parser,
    switch,
    value,
    values,
)
from dockmagic.commands.options.reading import read
from dockmagic_runtime.errors import DockmagicError, InvalidInput, Unsupported

_LEVELS: Final = ("debug", "info", "warn", "error", "fatal")


def _flag(option: GlobalOption) -> Flag:
    name, short, help = option.name, option.short, option.help
    if not option.type:
        return switch(name, short, help)
    if option.type == "list":
        return values(name, short, help)
    default = "info" if name == "log-level" else ""
    return value(name, short, help, default=default, default_text=option.default_shown)


GLOBAL_FLAGS: tuple[Flag, ...] = tuple(map(_flag, GLOBAL_OPTIONS))
GLOBAL_PARSER: Final = Parser(
    verb="",
    usage="[OPTIONS] COMMAND [ARG...]",
    summary="",
    flags=GLOBAL_FLAGS,
    stops_at_word=True,
)


def read_global_options(words: Sequence[str]) -> Arguments:
    """The options before the command; `words` of the result begin with the command.

    Raises WrongUsage, and HelpAsked for `--help`.
    """
    try:
        return read(GLOBAL_PARSER, words)
    except HelpAsked:
        from dockmagic.commands.help import help_text

        raise HelpAsked(help_text()) from None


def check_global_options(arguments: Arguments) -> None:
    """Raises InvalidInput for an unknown level, Unsupported for an engine elsewhere."""
    level = arguments.flag("log-level")
    if level not in _LEVELS:
        raise _with_code(InvalidInput(f"Unable to parse logging level: {level}"))
    context, hosts = arguments.flag("context"), arguments.flag("host")
    if context and hosts:
        raise _with_code(
            InvalidInput("conflicting options: cannot specify both --host and --context")
        )
    if context not in ("", "default"):
        raise _elsewhere(f"the context {context}")
    for host in hosts:
        raise _elsewhere(f"the host {host}")
    for name in ("tls", "tlsverify"):
        if arguments.flag(name):
            raise _elsewhere(f"--{name}")


def _elsewhere(what: str) -> DockmagicError:
    return _with_code(
        Unsupported(
            f"{what} is not supported yet",
            hint="commands go to the engine of this machine: leave the option out",
        )
    )


def _with_code(error: DockmagicError) -> DockmagicError:
    error.exit_code = 1
    return error


@contextmanager
def configured(directory: str) -> Iterator[None]:
    """While it lasts, `directory` holds the client's config files."""
    before = os.environ.get("DOCKER_CONFIG")
    os.environ["DOCKER_CONFIG"] = directory
    try:
        yield
    finally:
        if before is None:
            del os.environ["DOCKER_CONFIG"]
        else:
            os.environ["DOCKER_CONFIG"] = before
