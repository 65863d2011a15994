"""The three files of a container's /etc that are ours: hosts, hostname and resolv.conf.

A start writes them anew. While the container runs they are changed in place, since they are
mounted there; a resolv.conf that was edited inside stays as it is, as with Docker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from dockmagic_runtime.store.atomic import write_file
from dockmagic_runtime.store.sha256 import hex_digest

_RESOLV_CONF: Final = "resolv.conf"
_DIGEST: Final = "resolv.conf.sha256"  # of what we have written


def write(directory: str, files: Mapping[str, str]) -> None:
    """Writes texts by file name, readable for every user."""
    for name, text in files.items():
        with open(f"{directory}/{name}", "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(text)
    if _RESOLV_CONF in files:
        _note(directory, files[_RESOLV_CONF])


def change(path: str, change: Callable[[str], str]) -> None:
    """Rewrites the file in place if `change` makes another text of it."""
    try:
        with open(path, "r+", encoding="utf-8", errors="surrogateescape") as stream:
            before = stream.read()
            after = change(before)
            if after != before:
                stream.seek(0)
                stream.write(after)
                stream.truncate()
    except FileNotFoundError:
        pass  # the container has just ended, and --rm has removed it


def rewrite_resolv_conf(directory: str, text: str) -> None:
    """Writes `text`, unless resolv.conf was edited since we wrote it."""

    def ours(before: str) -> str:
        if _digest(before) != _noted(directory):
            return before
        _note(directory, text)
        return text

    change(f"{directory}/{_RESOLV_CONF}", ours)


def _digest(text: str) -> str:
    return hex_digest(text.encode("utf-8", "surrogateescape"))


def _note(directory: str, text: str) -> None:
    write_file(f"{directory}/{_DIGEST}", _digest(text).encode())


def _noted(directory: str) -> str:
    try:
        with open(f"{directory}/{_DIGEST}", encoding="ascii", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""  # an earlier version, which kept no digest, has written it
