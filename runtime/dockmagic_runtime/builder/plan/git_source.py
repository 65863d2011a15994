"""Addresses of Git repositories: git://…, ssh://…, git@host:…, or http(s)://….git.

Behind `#` follows a branch, tag or commit, and behind another `:` a directory.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

_SCP: Final = re.compile(r"[\w.-]+@[\w.-]+:[^#]+(#.*)?")
_HTTP: Final = re.compile(r"https?://[^#?]+\.git(#.*)?")


class GitSource(Struct, frozen=True, kw_only=True):
    url: str
    ref: str = ""
    directory: str = ""

    @classmethod
    def parse(cls, text: str) -> GitSource | None:
        """None for what is no address of a repository."""
        is_git = text.startswith(("git://", "ssh://")) or _HTTP.fullmatch(text)
        if not is_git and not _SCP.fullmatch(text):
            return None
        url, _, rest = text.partition("#")
        ref, _, directory = rest.partition(":")
        return cls(url=url, ref=ref, directory=directory.strip("/"))

    @property
    def name(self) -> str:
        return re.split(r"[/:]", self.url.rstrip("/"))[-1].removesuffix(".git")
