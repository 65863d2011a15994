"""Questions to the user, where one can be asked: at a terminal, or by a notebook's front end."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable


def can_ask() -> bool:
    """At a terminal, or in a notebook, which puts functions of its own in place of Python's."""
    return getpass.getpass.__module__ != "getpass" or bool(sys.stdin and sys.stdin.isatty())


def ask(prompt: str, how: Callable[[str], str]) -> str | None:
    """The answer to a prompt, by `input` or `getpass`; None where no user can be asked."""
    try:
        return how(prompt) if can_ask() else None
    except (EOFError, OSError, NotImplementedError):  # no terminal to answer at
        return None
