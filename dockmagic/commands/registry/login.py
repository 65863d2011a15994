"""`docker login`: credentials for a registry. A password is asked for unseen, or read from stdin.

It is never taken from where it would stay: not echoed, and a notebook keeps what is written into a
cell, so `-p` is refused there as it is everywhere.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from dockmagic.commands.ask import ask
from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.output.result import Text
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="login",
        usage="[OPTIONS] [SERVER]",
        summary="Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
        maximum=1,
        flags=(
            value("password", "p", "Password or Personal Access Token (PAT)"),
            switch(
                "password-stdin", help="Take the Password or Personal Access Token (PAT) from stdin"
            ),
            value("username", "u", "Username"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    if arguments.is_given("password") and arguments.flag("password-stdin"):
        raise InvalidInput(
            "conflicting options: cannot specify both --password and --password-stdin"
        )
    if arguments.is_given("password"):
        raise InvalidInput(
            "a password on the command line stays in histories and saved notebooks",
            hint="leave -p out to be asked for it, or use --password-stdin",
        )
    server = arguments.words[0] if arguments.words else ""
    username = arguments.flag("username")
    if arguments.flag("password-stdin"):
        if not username:
            raise InvalidInput("the --password-stdin option requires --username to be set")
        password = sys.stdin.read().rstrip("\r\n")
    else:
        username = username or _asked("Username: ", input)
        password = _asked("Password: ", getpass.getpass)
    path = engine.system.login(server, username, password)
    if path is None:
        return Text("Login Succeeded")
    warning = f"WARNING! Your password is stored unencrypted in {path}."
    return Text(f"{warning}\n\nLogin Succeeded", "Login Succeeded")


def _asked(prompt: str, how: Callable[[str], str]) -> str:
    answer = ask(prompt, how)
    if not answer:
        raise InvalidInput(
            "Cannot perform an interactive login from a non TTY device",
            hint="use --username and --password-stdin",
        )
    return answer
