"""Lines that do not ask for a command to be run: wrong ones, and those that ask for help."""

from __future__ import annotations

from dockmagic_runtime.errors import InvalidInput


class WrongUsage(InvalidInput):
    """The line itself is wrong: an unknown flag, a missing value, too many words.

    `exit_code` is 125 for a flag and 1 for the number of arguments, as with Docker's client.
    `usage` is the line that Docker shows below the message.
    """

    def __init__(
        self, message: str, *, verb: str, hint: str = "", exit_code: int = 125, usage: str = ""
    ) -> None:
        see = f"See 'docker {verb} --help'." if verb else "See 'docker --help'."
        super().__init__(message, hint=f"{hint} {see}" if hint else see)
        self.exit_code = exit_code
        self.verb = verb
        self.usage = usage


class HelpAsked(Exception):
    """`--help` was among the flags: not a mistake, and nothing is to be run.

    Docker prints the help of a line without a command to stderr (`on_stderr`).
    """

    def __init__(self, text: str, *, on_stderr: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.on_stderr = on_stderr
