"""The command of a RUN, with its heredocs: run as a script, given to the shell, or left to it."""

from __future__ import annotations

import re
from typing import Final

from dockmagic_runtime.builder.plan.config import StageConfig, command_line
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.lines import as_heredoc

SCRIPTS: Final = "/.dockmagic-script-"  # where a heredoc with `#!` is put while it runs
_PIPES: Final = "/dev/pipes/"  # where BuildKit puts it
Script = tuple[str, str]  # name, contents


def argv_of(run: i.Run, config: StageConfig, escape: str) -> tuple[tuple[str, ...], Script | None]:
    """The process's arguments, and the script that the first of them names, if any."""
    if not run.command.is_shell or not run.heredocs:
        return command_line(run.command, config), None
    (text,) = run.command.args
    if as_heredoc(text, escape) is None:
        bodies = (f"\n{heredoc.content}{heredoc.name}" for heredoc in run.heredocs)
        return (*config.shell, text + "".join(bodies)), None
    only = run.heredocs[0]
    if only.data.startswith("#!"):
        path = SCRIPTS + re.sub(r"[^\w.-]", "-", only.name[:64])
        return (path,), (path, only.data)
    return (*config.shell, only.data), None


def history_argv(
    run: i.Run, config: StageConfig, argv: tuple[str, ...], script: Script | None
) -> tuple[str, ...]:
    """The command as the history has it: a script has the name that BuildKit would give it."""
    return argv if script is None else (*config.shell, _PIPES + run.heredocs[0].name)
