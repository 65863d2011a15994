"""Errors as Docker's client frames them, for a command line that was called as `docker`.

Docker's texts have two authors: what the daemon refuses begins with "Error response from daemon",
what the client refuses does not. Here the place where an error was raised is its author.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockmagic.commands.options.flags import WrongUsage
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, Unsupported

_ENGINE: Final = "dockmagic_runtime."
_SHARED: Final = "dockmagic_runtime.model."  # the client parses names and ports with it, too
# What we refuse before the engine is asked, and Docker's client leaves to the daemon.
_DAEMONS: Final = frozenset(
    f"dockmagic.commands.options.{name}"
    for name in ("container", "filters", "health", "mounts", "namespaces", "network",
                 "restart_policy")
)  # fmt: skip
# Of those, what Docker's client says by itself.
_CLIENTS: Final = (
    "--", "conflicting options: cannot specify both", "invalid pull option",
    "invalid reference format", "invalid restart policy format",
)  # fmt: skip

# The last line where a command fails for the one thing that it is about.
_TRAILERS: Final = {
    "rename": "failed to rename container named {}", "start": "failed to start containers: {}",
}  # fmt: skip


def framed(error: DockmagicError, form: str, words: Sequence[str] = ()) -> str:
    """The lines that Docker's client writes for `docker FORM …`, without the last newline.

    `words` are those behind the flags.
    """
    if isinstance(error, WrongUsage) and (error.usage or not error.verb):
        return _usage_frame(error)
    text = _text(error, form)
    verb = form.removeprefix("container ")
    if verb in _TRAILERS and words and is_daemons(error):
        return f"{text}\nError: {_TRAILERS[verb].format(words[0])}"
    if verb == "run" and not (isinstance(error, WrongUsage) and error.exit_code == 1):
        return _with_help(text, "run")
    if verb == "create" and not is_daemons(error):
        return _with_help(text, "create")
    return text


def _with_help(text: str, verb: str) -> str:
    return f"docker: {text}\n\nRun 'docker {verb} --help' for more information"


def _usage_frame(error: WrongUsage) -> str:
    """Of a line that is wrong by itself: what is wrong, the usage, and where more is to be read."""
    message = error.message if error.exit_code == 125 else f"docker: {error.message}"
    usage = f"\n\nUsage:  {error.usage}" if error.usage else ""
    is_too_short = "requires at least" in message and "at most" not in message
    command = " ".join(filter(None, ("docker", error.verb)))
    see = "See" if is_too_short else "Run"
    return f"{message}{usage}\n\n{see} '{command} --help' for more information"


def _text(error: DockmagicError, form: str) -> str:
    text = f"{error.message}\n{error.excerpt}" if error.excerpt else error.message
    if isinstance(error, Unsupported) and error.hint:
        text = f"{text} ({error.hint})"  # Docker has no such error, and the hint says more
    if isinstance(error, NotFound) and form in ("inspect", "port", "container port"):
        return text if form != "inspect" and is_daemons(error) else f"Error: {text}"
    if form == "login" and not is_daemons(error):
        return f"Error: {text}"
    return f"Error response from daemon: {text}" if is_daemons(error) else text


def is_daemons(error: DockmagicError) -> bool:
    """Whether Docker's daemon says it: it was raised in the engine, or stands for what is."""
    module = _raised_in(error)
    if module in _DAEMONS and isinstance(error, InvalidInput):
        return not error.message.startswith(_CLIENTS)
    return module.startswith(_ENGINE) and not module.startswith(_SHARED)


def _raised_in(error: DockmagicError) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "") if traceback else ""
