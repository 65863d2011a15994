"""Sources that are not here yet: digests for the key first, files only when a step is done."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.builder.cache.store import BuildCache, remote_key
from dockmagic_runtime.builder.context import git
from dockmagic_runtime.builder.context.scratch import Scratch
from dockmagic_runtime.builder.context.tree import Source, SourceTree
from dockmagic_runtime.builder.plan.git_source import GitSource
from dockmagic_runtime.builder.plan.steps import Remote
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.root import Root

if TYPE_CHECKING:  # an HTTP client takes its time, and few builds need one
    from dockmagic_runtime.builder.context.fetch import Fetched


class Remotes:
    """The remote sources of one build."""

    def __init__(self, scratch: Scratch, cache: BuildCache) -> None:
        self._scratch = scratch
        self._cache = cache
        self._lock = threading.Lock()
        self._fetched: dict[str, tuple[Fetched, str]] = {}  # by address, with its directory
        self._commits: dict[str, str] = {}
        self._roots: list[Root] = []

    def close(self) -> None:
        for root in self._roots:
            root.close()
        self._roots.clear()

    def digest(self, remote: Remote) -> str:
        """What of it counts for the key: its contents, and the name it would have."""
        with self._lock:
            source = GitSource.parse(remote.url)
            if source is not None:
                return f"{source.url}#{self._commit(remote, source)}:{source.directory}"
            if remote.checksum:
                return f"{remote.checksum} {remote.name}"
            fetched = self._asked(remote)
            return f"{fetched.digest} {remote.name or fetched.name}"

    def tree(self, remote: Remote) -> tuple[SourceTree, Source]:
        """Its files, and what of them is meant."""
        with self._lock:
            source = GitSource.parse(remote.url)
            if source is not None:
                return self._checkout(remote, source)
            fetched, directory = self._file(remote)
            # a redirect or the server's wish may name it otherwise than the address does
            return self._tree(directory), Source(fetched.name, remote.name or fetched.name, False)

    def _tree(self, directory: str) -> SourceTree:
        self._roots.append(Root.at(directory))
        return SourceTree(self._roots[-1])

    # --- http ------------------------------------------------------------------------------

    def _asked(self, remote: Remote) -> Fetched:
        """The state of the file on its server, which is fetched only if it has changed."""
        from dockmagic_runtime.builder.context.fetch import Fetched

        if remote.url in self._fetched:
            return self._fetched[remote.url][0]
        facts: dict[str, Any] | None = self._cache.facts(remote_key(remote.url))
        known = Fetched(**facts) if facts else None
        return self._get(remote, known if known and (known.etag or known.modified) else None)[0]

    def _file(self, remote: Remote) -> tuple[Fetched, str]:
        fetched = self._fetched.get(remote.url)
        if fetched is None or not fetched[1]:
            fetched = self._get(remote, None)
        if remote.checksum and remote.checksum != fetched[0].digest:
            raise InvalidInput(f"digest mismatch {fetched[0].digest}: {remote.checksum}")
        return fetched

    def _get(self, remote: Remote, known: Fetched | None) -> tuple[Fetched, str]:
        from dockmagic_runtime.builder.context.fetch import fetch

        directory = str(self._scratch.directory())
        fetched = fetch(remote.url, directory, known)
        if fetched is not None:
            self._cache.add_facts(remote_key(remote.url), fetched.facts)
            self._fetched[remote.url] = fetched, directory
        elif known is not None:
            self._fetched[remote.url] = known, ""
        return self._fetched[remote.url]

    # --- git -------------------------------------------------------------------------------

    def _commit(self, remote: Remote, source: GitSource) -> str:
        if remote.url not in self._commits:
            self._commits[remote.url] = git.commit_of(source)
        git.check_commit(self._commits[remote.url], remote.checksum)
        return self._commits[remote.url]

    def _checkout(self, remote: Remote, source: GitSource) -> tuple[SourceTree, Source]:
        directory = str(self._scratch.directory())
        commit = self._commit(remote, source)
        git.checkout(source, commit, directory, keep_git_dir=remote.keep_git_dir)
        tree = self._tree(directory)
        if source.directory and not tree.root.is_real_dir(source.directory):
            raise InvalidInput(f"repository {source.url} has no directory {source.directory}")
        return tree, Source(source.directory, Path(source.directory or source.name).name, True)
