"""What the command line writes to stderr, and the exit codes of errors."""

from __future__ import annotations

import sys

from dockmagic.commands.usage import HelpAsked, WrongUsage
from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.model.utf8 import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def show_help(asked: HelpAsked) -> int:
    """Writes the text that was asked for; returns the exit code."""
    stream = sys.stderr if asked.on_stderr else sys.stdout
    name = called_as()
    text = asked.text if name == "docker" else asked.text.replace("docker ", f"{name} ")
    stream.write(f"{text}\n")
    return 0


def called_as() -> str:
    """The name under which this process was called, if that is one of ours."""
    name = sys.argv[0].rpartition("/")[2] if sys.argv else ""
    return name if name in ("docker", "dockmagic") else "dockmagic"


def complain(error: DockmagicError, form: str = "", words: Sequence[str] = ()) -> None:
    """Writes the error: in one line, unless it has more to show; called as `docker` as Docker's
    client frames what it says of `docker FORM … WORDS`."""
    if called_as() == "docker":
        from dockmagic.commands.output.frame import framed

        sys.stderr.write(f"{printable(framed(error, form, words))}\n")
    else:
        complain_of(sentence(error))


def complain_of(text: str) -> None:
    sys.stderr.write(f"{called_as()}: {printable(as_ours(text))}\n")


def exit_code(error: DockmagicError, words: list[str]) -> int:
    """Docker's client exits with 125 where `run` cannot start, and with 1 elsewhere."""
    if isinstance(error, (StartFailed, WrongUsage)):
        return error.exit_code
    verb = next((word for word in words if word != "container"), "")
    return error.exit_code if verb == "run" else 1


def sentence(error: DockmagicError) -> str:
    """The error as a terminal shows it: message and hint in one line, then the excerpt."""
    if error.hint and "\n" not in error.message:
        text = f"{error.message} ({error.hint})"
    else:
        text = "\n".join(filter(None, (error.message, error.hint)))
    return f"{text}\n{error.excerpt}" if error.excerpt else text


def as_ours(text: str) -> str:
    """Names the commands to try as they are typed here."""
    if called_as() == "docker":
        return text
    for quote in ("'", "Usage: "):
        text = text.replace(f"{quote}docker ", f"{quote}dockmagic ")
    return text
