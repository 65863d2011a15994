"""Where the steps of one build copy from: the build context, earlier stages, images.

Each is opened when a step first asks for it and stays open until the build is over. A tree made
of layers is an overlay of its own, with a writable half that is thrown away.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from dockmagic_runtime.builder.context.file_digests import ContextDigests, FileDigests
from dockmagic_runtime.builder.context.scratch import OverlayDirectories, Scratch
from dockmagic_runtime.builder.context.tree import SourceTree
from dockmagic_runtime.builder.interfaces import Layers, Workspace
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.build import BuildRequest

IGNORE_FILE: Final = ".dockerignore"


class Sources:
    """The trees of one build. Closing it closes and removes them all."""

    def __init__(
        self,
        request: BuildRequest,
        layers: Layers,
        workspace: Workspace,
        scratch: Scratch,
        digests: ContextDigests,
    ) -> None:
        self._request = request
        self._layers = layers
        self._workspace = workspace
        self._scratch = scratch
        self._digests = digests
        self._lock = threading.RLock()  # stages are built side by side
        self._open = ExitStack()
        self._contexts: dict[str, SourceTree] = {}
        self._trees: dict[str, SourceTree] = {}

    def close(self) -> None:
        self._open.close()

    def context(self, name: str = "") -> SourceTree:
        """The build context, or the one of that name, without what its .dockerignore names."""
        with self._lock:
            if name not in self._contexts:
                self._contexts[name] = self._open_context(name)
            return self._contexts[name]

    def context_path(self, name: str) -> str:
        """Where on the host it is."""
        path = self._request.build_contexts[name] if name else self._request.context
        if path is None:
            raise InvalidInput("there is no build context to copy from")
        return path

    def _open_context(self, name: str) -> SourceTree:
        path = self.context_path(name)
        try:
            root = self._open.enter_context(Root.at(path))
        except (FileNotFoundError, NotADirectoryError):
            raise InvalidInput(f"the build context {path} is not a directory") from None
        return SourceTree(root, self._rules(root, name), digests=self._digests.of(root))

    def _rules(self, root: Root, context: str) -> IgnoreRules:
        """`<Dockerfile>.dockerignore` goes before `.dockerignore`; links lead inside only."""
        if self._request.ignore is not None and not context:
            return IgnoreRules.parse(self._request.ignore)
        return IgnoreRules.parse(self._ignore_file(root, context).decode("utf-8", "replace"))

    def _ignore_file(self, root: Root, context: str) -> bytes:
        own = self._request.file_name + IGNORE_FILE
        for name in (IGNORE_FILE,) if context else (own, IGNORE_FILE):
            try:
                return root.read(name)
            except FileNotFoundError:
                continue
        return b""

    def ignore_size(self) -> int:
        """The bytes of the main context's ignore file, 0 if there is none."""
        if self._request.ignore is not None:
            return len(self._request.ignore.encode("utf-8", "surrogateescape"))
        try:
            with Root.at(self._request.context or "") as root:
                return len(self._ignore_file(root, ""))
        except (OSError, ValueError):
            return 0  # there is no such context: the first step that needs it says so

    def layers(self, chain_ids: Sequence[str]) -> SourceTree:
        """The tree of these layers, bottom first."""
        key = chain_ids[-1] if chain_ids else ""
        with self._lock:
            if key not in self._trees:
                root = self._open.enter_context(self.merged(chain_ids))
                self._trees[key] = SourceTree(root, owned=True, digests=FileDigests())
            return self._trees[key]

    @contextmanager
    def merged(self, chain_ids: Sequence[str]) -> Iterator[Root]:
        """The tree of these layers for the block; what is written to it is thrown away."""
        with (
            self._scratch.overlay("") as directories,
            self.writable(chain_ids, directories) as root,
        ):
            yield root

    @contextmanager
    def writable(self, chain_ids: Sequence[str], directories: OverlayDirectories) -> Iterator[Root]:
        """The tree of these layers with a writable one on top; without layers, just that."""
        if not chain_ids:
            with Root.at(directories.upper) as root:
                yield root
            return
        lowers = [self._layers.path(chain_id) for chain_id in reversed(chain_ids)]
        with self._workspace.mounted(lowers, directories.upper, directories.work) as root:
            yield root
