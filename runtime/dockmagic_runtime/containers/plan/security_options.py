"""`--security-opt`, as a container's record has it: the words of Docker's API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dockmagic_runtime.errors import InvalidInput

_TRUE: Final = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_KNOWN: Final = ("seccomp", "no-new-privileges", "label", "apparmor", "systempaths")


def no_new_privileges(options: Iterable[str]) -> bool:
    """Whether set-uid programs gain nothing; the last option decides. Raises InvalidInput."""
    chosen = False
    for key, value, option in _parsed(options):
        if key == "no-new-privileges":
            if value not in _TRUE | _FALSE:
                raise InvalidInput(f'invalid --security-opt 2: "{option}"')
            chosen = value in _TRUE
    return chosen


def seccomp_choice(options: Iterable[str]) -> str:
    """The words "default" and "unconfined", or a profile's text; the last option decides."""
    chosen = "default"
    for key, value, _ in _parsed(options):
        if key == "seccomp":
            chosen = "default" if value == "builtin" else value
    return chosen


def _parsed(options: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Key and value, which Docker lets a "=" or, of old, a ":" part."""
    for option in options:
        key, separator, value = option.partition("=" if "=" in option else ":")
        if option == "no-new-privileges":
            separator, value = "=", "true"
        if not separator and option != "disable":  # that one is a label's
            raise InvalidInput(f'invalid --security-opt 1: "{option}"')
        if separator and key not in _KNOWN:
            raise InvalidInput(f'invalid --security-opt 2: "{option}"')
        yield key, value, option
