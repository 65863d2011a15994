"""What the command line writes to stderr, and the exit codes of errors.

Called as `dockmagic`, an error is one line with a hint, and names the commands to try as
`dockmagic …`. Called as `docker`, it has the frame of Docker's client, since other programs may
read it, and no hints.
"""

from __future__ import annotations

import sys

from dockmagic.commands.program import is_docker, program
from dockmagic.commands.usage import HelpAsked, WrongUsage
from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.model.utf8 import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def show_help(asked: HelpAsked) -> int:
    """Writes the text that was asked for; returns the exit code."""
    stream = sys.stderr if asked.on_stderr else sys.stdout
    stream.write(asked.text.replace("docker ", f"{program()} ") + "\n")
    return 0


def complain(error: DockmagicError, form: str = "", words: Sequence[str] = ()) -> None:
    """Writes the error of `docker FORM …`: in one line, unless it has more to show.

    `words` are those behind the flags; some of Docker's frames name them.
    """
    if is_docker():
        from dockmagic.commands.output.error_frame import framed, is_output

        text = printable(framed(error, form, words))
        if is_output(error, form):
            sys.stdout.write(f"{text}\r\n")
        else:
            sys.stderr.write(f"{text}\n")
    else:
        complain_of(sentence(error))


def complain_of(text: str) -> None:
    """Writes a sentence that is no error of the engine, with our name before it."""
    sys.stderr.write(f"{program()}: {printable(as_called(text))}\n")


def exit_code(error: DockmagicError, form: str) -> int:
    """Docker's client exits with 125 where `run` cannot start, with 125 where it finds fault with
    the flags of `create`, and with 1 elsewhere."""
    verb = form.removeprefix("container ")
    is_start = verb == "exec" and isinstance(error, StartFailed)
    if is_start or verb == "run" or isinstance(error, WrongUsage):
        return error.exit_code
    if verb != "create":
        return 1
    from dockmagic.commands.output.error_frame import is_of_flags

    return 125 if is_of_flags(error) else 1


def sentence(error: DockmagicError) -> str:
    """The error as a terminal shows it: message and hint in one line, then the excerpt."""
    if error.hint and "\n" not in error.message:
        text = f"{error.message} ({error.hint})"
    else:
        text = "\n".join(filter(None, (error.message, error.hint)))
    return f"{text}\n{error.excerpt}" if error.excerpt else text


def as_called(text: str) -> str:
    """Names the commands to try as they are typed here."""
    for quote in ("'", "Usage: "):
        text = text.replace(f"{quote}docker ", f"{quote}{program()} ")
    return text
