"""Errors as Docker's client frames them, for a command line that was called as `docker`.

Docker's texts have two authors: what the daemon refuses begins with "Error response from daemon",
what the client refuses does not. Here the place where an error was raised is its author.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockmagic.commands.usage import WrongUsage
from dockmagic_runtime.errors import (
    DockmagicError,
    InvalidInput,
    NotFound,
    StartFailed,
    Unsupported,
)

_ENGINE: Final = "dockmagic_runtime."
# The client uses these modules, too: it parses names, ports and flags with them.
_SHARED: Final = ("dockmagic_runtime.model.", "dockmagic_runtime.options.")
# What we refuse before the engine is asked, and Docker's client leaves to the daemon.
_DAEMONS: Final = frozenset([
    *(f"dockmagic.commands.options.{name}"
      for name in ("container", "filters", "health", "mounts", "namespaces", "network",
                   "restart_policy")),
    *(f"dockmagic_runtime.options.{name}" for name in ("modes", "mounts", "networks", "volumes")),
])  # fmt: skip
# Texts whose author is not that of the module: what Docker's client says by itself, …
_CLIENTS_TEXTS: Final = (
    "--", "Error parsing reference", "cannot copy directory",
    "conflicting options: cannot attach both", "conflicting options: cannot specify both",
    "invalid detach keys", "invalid empty volume spec", "invalid logging opts for",
    "invalid output path", "invalid pull option", "invalid reference format",
    "invalid restart policy format", "invalid spec: ", "lstat ", "network-scoped aliases",
    "no name set for network",
)  # fmt: skip
_CLIENTS_ENDINGS: Final = (" is not a valid mac address",)
# … and what its daemon says.
_DAEMONS_TEXTS: Final = (
    "Invalid container name", "Invalid subnet", "Limit ", "cannot kill container",
    "failed to prune build cache", "invalid --security-opt 2", "invalid filter",
    "more than one until", "the working directory", "unknown or invalid runtime name",
)  # fmt: skip
_BEHIND_FLAGS: Final = (
    "container ID file found", "failed to create the container ID file",
    "invalid reference format",
)  # fmt: skip
# Errors that the daemon writes into the stream of an answer: they have no frame.
_STREAMED: Final = ("image load", "image push", "load", "push")
_EXEC_FAILED: Final = "OCI runtime exec failed: exec failed"
_CREATE_FAILED: Final = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed"
)
_OF_PROCESS: Final = ("chdir to cwd", "error mounting", "exec: ", "open /proc", "write /proc")
_EXEC: Final = ("container exec", "exec")

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
    if verb == "run" and error.exit_code != 1:
        return _with_help(text, "run")
    if verb == "create" and is_of_flags(error):
        return _with_help(text, "create")
    return text


def is_of_flags(error: DockmagicError) -> bool:
    """Whether Docker's client finds it in the flags of `create`, and exits with 125."""
    is_client = isinstance(error, InvalidInput) and not is_daemons(error)
    return is_client and not error.message.startswith(_BEHIND_FLAGS)


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


def is_output(error: DockmagicError, form: str) -> bool:
    """Whether Docker shows it on stdout: its daemon writes into the stream of a foreground `exec`
    why that could not start."""
    return form in _EXEC and getattr(error, "exit_code", 0) in (126, 127)


def _text(error: DockmagicError, form: str) -> str:
    text = f"{error.message}\n{error.excerpt}" if error.excerpt else error.message
    if isinstance(error, Unsupported) and error.hint:
        text = f"{text} ({error.hint})"  # Docker has no such error, and the hint says more
    if is_output(error, form):
        return _of_runtime(error, _EXEC_FAILED)
    if _has_error_before(error, form):
        return f"Error: {text}"
    if not is_daemons(error) or form in _STREAMED:
        return text
    if isinstance(error, StartFailed):
        text = (
            _of_runtime(error, _EXEC_FAILED)
            if form in _EXEC
            else _of_runtime(error, _CREATE_FAILED, "error during container init: ")
        )
    return f"Error response from daemon: {text}"


def _of_runtime(error: DockmagicError, what: str, where: str = "") -> str:
    """With the chain of programs that Docker asks to start one."""
    if not isinstance(error, StartFailed) or error.message.startswith("unable to find "):
        return error.message
    is_of_process = error.message.startswith(_OF_PROCESS)
    where = f"unable to start container process: {where}" if is_of_process else ""
    return f"{what}: {where}{error.message}: unknown"


def _has_error_before(error: DockmagicError, form: str) -> bool:
    if form == "login":
        return error.message.startswith("Cannot perform an interactive login")
    if form in ("container rename", "rename"):
        return not is_daemons(error)
    if not isinstance(error, NotFound):
        return False
    if form == "inspect":
        return error.message.startswith("No such object")
    return form in ("port", "container port") and not is_daemons(error)


def is_daemons(error: DockmagicError) -> bool:
    """Whether Docker's daemon says it: it was raised in the engine, or stands for what is."""
    message, module = error.message, _raised_in(error)
    if message.startswith(_CLIENTS_TEXTS) or message.endswith(_CLIENTS_ENDINGS):
        return False
    if message.startswith(_DAEMONS_TEXTS):
        return True
    if not isinstance(error, InvalidInput):
        return module.startswith(_ENGINE)
    return module in _DAEMONS or (module.startswith(_ENGINE) and not module.startswith(_SHARED))


def _raised_in(error: DockmagicError) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "") if traceback else ""
