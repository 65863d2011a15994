"""What the magics of one shell work with: made when the first of them is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dockmagic.magics.display import Display
from dockmagic.magics.interactive import Interactive
from dockmagic.magics.magic import (
    DockerfileMagic,
    DockerMagic,
    Magic,
    NetworkMagic,
    RmMagic,
    VerbMagic,
)
from dockmagic.magics.runner import Runner
from dockmagic.magics.shell.host import Host

if TYPE_CHECKING:
    from dockmagic.magics import Extension


class Tools:
    """The runner, the formatters, and what each name does."""

    def __init__(self, extension: Extension) -> None:
        self.runner = Runner(
            extension.session,
            extension.shell.user_ns,
            extension.is_live,
            extension.limits,
            Interactive(extension.shell, extension.is_live),
            extension.since,
        )
        self.display = Display(extension.session, extension.settings, extension.is_live)
        host = Host(extension.shim, os.environ)
        self._magics: dict[str, Magic] = {
            "docker": DockerMagic("docker", self.runner, host),
            "dockerfile": DockerfileMagic("dockerfile", self.runner, host),
            "network": NetworkMagic("network", self.runner, host),
        }
        for name, words in extension.verb_magics.items():
            kind = RmMagic if name == "rm" else VerbMagic
            self._magics[name] = kind(name, self.runner, host, *words)

    def magic(self, name: str) -> Magic:
        return self._magics[name]
