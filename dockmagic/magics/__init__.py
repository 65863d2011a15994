"""The magics, and how they come into a shell and go out of it again.

Loading the extension registers names and little else: what a magic does is imported when the first
one is used, so that a notebook starts fast.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.errors import Interrupted
from dockmagic.magics.completion import Completer
from dockmagic.magics.project import apply, project_settings
from dockmagic.magics.settings import DockMagic
from dockmagic.magics.shim import Shim
from dockmagic.magics.shown import SHOW, ShowEach, show
from dockmagic.session import current

if TYPE_CHECKING:
    from dockmagic.magics.shell_state import Tools
    from dockmagic.magics.streams import Limits

# Name of each magic and the words it stands for: a verb's own name where IPython has no magic and
# no alias of that name (%run, %history, %load, %save, %cp and %system are taken). %rm is an alias
# in IPython, and ours in a notebook that has loaded the extension.
_VERBS = (
    "attach", "build", "commit", "compose", "create", "diff", "events", "exec", "explain",
    "export", "files", "images", "import", "info", "inspect", "kill", "layers", "login",
    "logout", "logs", "pause", "port", "ps", "pull", "push", "rename", "restart", "rm", "rmi",
    "search", "serve", "start", "stats", "stop", "tag", "top", "unpause", "update", "version",
    "wait",
)  # fmt: skip
_GROUPS = ("builder", "buildx", "container", "image", "manifest", "volume")
VERB_MAGICS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in (*_VERBS, *_GROUPS)},
    "run_container": ("run",),
    "image_history": ("history",),
    "load_image": ("load",),
    "save_image": ("save",),
    "inspect_container": ("inspect", "--type=container"),
    "inspect_image": ("inspect", "--type=image"),
    "system_df": ("system", "df"),
    "system_prune": ("system", "prune"),
}
_WARM_UP_LIMIT = 30.0  # seconds
_LINE_MAGICS = ("docker", "network", *VERB_MAGICS)
_CELL_MAGICS = ("docker", "dockerfile", "run_container", "exec")


class MagicEntry:
    """What IPython holds under a magic's name.

    IPython's own expansion is off: it turns `{{.State}}` into `{.State}`, and leaves the whole line
    alone, silently, when one variable is missing.
    """

    # IPython's decorators set these names on functions.
    needs_local_scope = True
    _ipython_magic_no_var_expand = True
    _ipython_magic_output_can_be_silenced = True

    def __init__(self, name: str, extension: Extension) -> None:
        self.__name__ = name
        self._extension = extension

    def __call__(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> object:
        began = time.monotonic()
        try:
            return self._run(line, cell, local_ns or {})
        except Interrupted:
            raise
        except KeyboardInterrupt:  # before or behind what says more about it
            raise Interrupted(f"%{self.__name__} stopped", time.monotonic() - began) from None

    def _run(self, line: str, cell: str | None, local_ns: Mapping[str, Any]) -> object:
        from dockmagic.magics.notebook_flags import target

        tools = self._extension.tools
        variables = tools.runner.variables
        name, is_shown, rest = target(line)
        value = tools.magic(self.__name__).run(rest, cell, {**variables, **local_ns})
        if name:
            variables[name] = value
        return value if is_shown else None

    def getdoc(self) -> str:
        """The parser's help for `%name?`: IPython asks for it before it looks at `__doc__`."""
        return self._extension.tools.magic(self.__name__).help()


class Extension:
    """Everything that one shell was given."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.session = current()
        self.settings = DockMagic(parent=shell)
        self.verb_magics = VERB_MAGICS
        self.completer = Completer(self.session, VERB_MAGICS)
        self.shim = Shim()
        self._show_each = ShowEach(shell, frozenset(_LINE_MAGICS))
        self._loaded = time.time()
        self._tools: Tools | None = None
        self._lock = threading.RLock()
        self._warm_up = WarmUp(self)
        self._taken: dict[tuple[str, str], Any] = {}
        self._aliases: list[tuple[str, str]] = []

    @property
    def tools(self) -> Tools:
        """What the magics work with, and IPython's formatters for what they return."""
        with self._lock:
            if self._tools is None:
                from dockmagic.magics.shell_state import Tools

                self._tools = Tools(self)
                self._tools.display.install(self.shell.display_formatter)
            return self._tools

    def is_live(self) -> bool:
        """Whether outputs may change: a page shows them, and the settings allow it."""
        return self.settings.is_live(has_page=has_page(self.shell))

    def since(self) -> float:
        """The time before which events are another run's: a deterministic notebook has its own."""
        return self._loaded if self.settings.deterministic else 0.0

    def limits(self) -> Limits:
        """How a cell's output is bounded; a terminal scrolls what it is given."""
        from dockmagic.magics.streams import Limits

        has_kernel = getattr(self.shell, "kernel", None) is not None
        return Limits(self.settings.output_lines if has_kernel else 0, self.is_live())

    def load(self) -> None:
        self._hide_aliases()
        for kind, names in (("line", _LINE_MAGICS), ("cell", _CELL_MAGICS)):
            for name in names:
                self._taken[kind, name] = self.shell.magics_manager.magics[kind].get(name)
                self.shell.register_magic_function(MagicEntry(name, self), kind, name)
        self.completer.install(self.shell)
        setattr(self.shell, SHOW, show)
        self.shell.ast_transformers.append(self._show_each)
        self.shell.input_transformers_cleanup.append(with_body)
        self.shell.configurables.append(self.settings)
        self.shell.events.register("post_run_cell", refresh_views)
        self._read_project()
        self.settings.observe(self._configure)
        self._configure()
        if self.settings.warm_up:
            self._warm_up.start()

    def _read_project(self) -> None:
        """Settings of the project's pyproject.toml; IPython's own configuration goes before."""
        given = self.shell.config.get("DockMagic", {})
        try:
            values, path = project_settings(Path.cwd())
            mistakes = apply(self.settings, values, given)
        except ValueError as error:
            path, mistakes = None, [f"pyproject.toml: {error}"]
        for mistake in mistakes:
            sys.stderr.write(f"dockmagic: [tool.dockmagic] in {path or 'the project'}: {mistake}\n")

    def unload(self) -> None:
        self._warm_up.join()
        table = self.shell.magics_manager.magics
        for (kind, name), before in self._taken.items():
            table[kind].pop(name, None)
            if before is not None:
                table[kind][name] = before
        self._set_default_aliases(self._aliases)
        if self._tools is not None:
            self._end_tools(self._tools)
        self.completer.remove(self.shell)
        self.shell.ast_transformers.remove(self._show_each)
        self.shell.input_transformers_cleanup.remove(with_body)
        self.shell.configurables.remove(self.settings)
        self.shell.events.unregister("post_run_cell", refresh_views)
        self.settings.unobserve_all()
        self.shim.close()
        self.session.close()

    def _end_tools(self, tools: Tools) -> None:
        from dockmagic.widgets.live_output import end_all

        end_all()
        tools.display.remove(self.shell.display_formatter)

    def _hide_aliases(self) -> None:
        """%rm is an alias for the shell's: IPython would complain of ours when it resets itself."""
        manager = self.shell.alias_manager
        self._aliases = [] if manager is None else list(manager.default_aliases)
        self._set_default_aliases([pair for pair in self._aliases if pair[0] not in VERB_MAGICS])

    def _set_default_aliases(self, aliases: list[tuple[str, str]]) -> None:
        if self.shell.alias_manager is not None:
            self.shell.alias_manager.default_aliases = aliases

    def _configure(self, _: Any = None) -> None:
        self.session.configure(
            catalogue=self.settings.catalogue, default_log_options=self.settings.log_options
        )
        self.shim.configure(catalogue=self.settings.catalogue)
        if self.settings.shim:
            self.shim.offer()
        else:
            self.shim.withdraw()


class WarmUp:
    """Loads what the first magic needs while the user is still typing it."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._thread = threading.Thread(target=self._run, name="dockmagic-warm-up", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for its end: it holds the engine."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_WARM_UP_LIMIT)

    def _run(self) -> None:
        from dockmagic.magics.warm_up import warm_up

        warm_up(self._extension)


def refresh_views(_: Any = None) -> None:
    """After a cell: live lists show what it did, if there are any."""
    views = sys.modules.get("dockmagic.widgets.containers_view")
    if views is not None:
        views.refresh_all()


def has_page(shell: Any) -> bool:
    """Whether a page asked for the cell that runs: JupyterLab, Notebook and VS Code name their
    cell, programs that execute a notebook (nbclient, nbval, papermill) do not."""
    if getattr(shell, "kernel", None) is None:
        return False
    parent = shell.get_parent() or {}
    return "cellId" in parent.get("metadata", {})


def with_body(lines: list[str]) -> list[str]:
    """A %%dockerfile cell of one line: IPython would refuse it itself, by an error that nbval does
    not see and that does not say what to write."""
    is_alone = len(lines) == 1 and lines[0].split()[:1] == ["%%dockerfile"]
    return [f"{lines[0].rstrip()}\n", "\n"] if is_alone else lines


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
