"""The magics, and how they come into a shell and go out of it again."""

from __future__ import annotations

from typing import Any

from dockmagic.magics.completion import Completer
from dockmagic.magics.display import Display
from dockmagic.magics.magic import DockerfileMagic, DockerMagic, Magic, VerbMagic
from dockmagic.magics.runner import Runner
from dockmagic.magics.settings import DockMagic
from dockmagic.session import current

# Name of each magic and the words it stands for. IPython has a %history and a %run of its own.
VERB_MAGICS: dict[str, tuple[str, ...]] = {
    "run_container": ("run",),
    "ps": ("ps",),
    "images": ("images",),
    "pull": ("pull",),
    "layers": ("layers",),
    "image_history": ("history",),
    "diff": ("diff",),
    "logs": ("logs",),
    "exec": ("exec",),
    "stats": ("stats",),
    "stop": ("stop",),
    "rm": ("rm",),
    "rmi": ("rmi",),
    "inspect_container": ("inspect", "--type=container"),
    "inspect_image": ("inspect", "--type=image"),
}
_CELL_MAGICS = frozenset(["run_container", "exec"])  # their body is standard input


class Extension:
    """Everything that one shell was given."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._session = current()
        self._settings = DockMagic(parent=shell)
        has_kernel = getattr(shell, "kernel", None) is not None
        self._runner = Runner(self._session, shell.user_ns)
        self._display = Display(self._session, self._settings, has_kernel=has_kernel)
        self._completer = Completer(self._session, shell.user_ns)
        self._has_kernel = has_kernel
        self._taken: dict[tuple[str, str], Any] = {}

    def load(self) -> None:
        for name, words in VERB_MAGICS.items():
            magic = VerbMagic(name, self._runner, *words)
            self._add(magic, "line")
            if name in _CELL_MAGICS:
                self._add(magic, "cell")
        docker = DockerMagic("docker", self._runner)
        self._add(docker, "line")
        self._add(docker, "cell")
        self._add(DockerfileMagic("dockerfile", self._runner), "cell")
        self._display.install(self._shell.display_formatter)
        self._completer.install(self._shell)
        self._shell.configurables.append(self._settings)
        self._settings.observe(self._configure)
        self._configure()

    def unload(self) -> None:
        table = self._shell.magics_manager.magics
        for (kind, name), before in self._taken.items():
            table[kind].pop(name, None)
            if before is not None:
                table[kind][name] = before
        self._display.remove(self._shell.display_formatter)
        self._completer.remove(self._shell)
        self._shell.configurables.remove(self._settings)
        self._settings.unobserve_all()
        self._session.close()

    def _add(self, magic: Magic, kind: str) -> None:
        """Register it, and remember what had the name: %rm is one of IPython's aliases."""
        name = magic.__name__
        self._taken[kind, name] = self._shell.magics_manager.magics[kind].get(name)
        self._shell.register_magic_function(magic, kind, name)

    def _configure(self, _: Any = None) -> None:
        self._session.configure(catalogue=self._settings.catalogue)
        self._runner.live = self._settings.is_live(has_kernel=self._has_kernel)


_ATTRIBUTE = "_dockmagic_extension"


def register(shell: Any) -> None:
    """Load the extension into a shell; a second time does nothing."""
    if getattr(shell, _ATTRIBUTE, None) is None:
        extension = Extension(shell)
        extension.load()
        setattr(shell, _ATTRIBUTE, extension)


def unregister(shell: Any) -> None:
    """Take everything away again and close the engine."""
    extension = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        extension.unload()
        delattr(shell, _ATTRIBUTE)
