"""What a step takes from a tree, as one digest: the part of its key that files have a say in."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from dockmagic_runtime.builder.cache.store import BuildCache, tree_key
from dockmagic_runtime.builder.context.sources import Sources
from dockmagic_runtime.builder.context.tree import SourceTree
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.dockerfile.gopattern import IgnoreRules


class Contents(Struct, frozen=True):
    """`files` are the digests of single files, empty where nobody needs to look."""

    digest: str = ""
    files: dict[str, str] = field(default_factory=dict)


class Digester(Struct, frozen=True):
    """The trees of one build, and the digests of what is in layers, which never change."""

    sources: Sources
    cache: BuildCache

    def tree(self, origin: SourceStage, layers: Sequence[str]) -> SourceTree:
        """`layers` are the chain ids of the origin, bottom first, unless it is a context."""
        if origin.is_context:
            return self.sources.context(origin.context)
        return self.sources.layers(layers)

    def contents(
        self,
        origin: SourceStage,
        layers: Sequence[str],
        patterns: Sequence[str],
        excludes: Sequence[str] = (),
        *,
        parents: bool = False,
    ) -> Contents:
        """The digest of the sources that the words name. Raises NotFound for one that is none."""
        if not patterns:
            return Contents()
        if origin.is_context:
            return self._read(origin, layers, patterns, excludes, parents=parents)
        key = tree_key(layers[-1] if layers else "", patterns, excludes, parents=parents)
        known = self.cache.facts(key)
        if known is not None:
            return Contents(str(known["contents"]))
        digest = self._read(origin, layers, patterns, excludes, parents=parents).digest
        self.cache.add_facts(key, {"contents": digest})
        return Contents(digest)

    def _read(
        self,
        origin: SourceStage,
        layers: Sequence[str],
        patterns: Sequence[str],
        excludes: Sequence[str],
        *,
        parents: bool,
    ) -> Contents:
        tree = self.tree(origin, layers)
        sources = tree.find(patterns, parents=parents)
        return Contents(*tree.digest(sources, IgnoreRules.of(list(excludes))))
