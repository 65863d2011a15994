"""The digest of what a step takes from a tree: the part of its key that depends on files."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from dockmagic_runtime.builder.cache.store import BuildCache, tree_key
from dockmagic_runtime.builder.context.sources import Sources
from dockmagic_runtime.builder.context.tree import SourceTree
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules


class Contents(Struct, frozen=True):
    """`digest` covers everything. `files` holds the digests of single files of a context."""

    digest: str = ""
    files: dict[str, str] = field(default_factory=dict)


class ContentHasher(Struct, frozen=True):
    """The trees of one build, and the digests of what is in layers, which never change."""

    sources: Sources
    cache: BuildCache

    def tree(self, source_stage: SourceStage, layers: Sequence[str]) -> SourceTree:
        """`layers` are the chain ids of the source_stage, bottom first, unless it is a context."""
        if source_stage.is_context:
            return self.sources.context(source_stage.context)
        return self.sources.layers(layers)

    def contents(
        self,
        source_stage: SourceStage,
        layers: Sequence[str],
        patterns: Sequence[str],
        excludes: Sequence[str] = (),
        *,
        parents: bool = False,
    ) -> Contents:
        """The digest of the sources that the words name. Raises NotFound for one that is none."""
        if not patterns:
            return Contents()
        if source_stage.is_context:
            return self._read(source_stage, layers, patterns, excludes, parents=parents)
        key = tree_key(layers[-1] if layers else "", patterns, excludes, parents=parents)
        known = self.cache.facts(key)
        if known is not None:
            return Contents(str(known["contents"]))
        digest = self._read(source_stage, layers, patterns, excludes, parents=parents).digest
        self.cache.add_facts(key, {"contents": digest})
        return Contents(digest)

    def _read(
        self,
        source_stage: SourceStage,
        layers: Sequence[str],
        patterns: Sequence[str],
        excludes: Sequence[str],
        *,
        parents: bool,
    ) -> Contents:
        tree = self.tree(source_stage, layers)
        sources = tree.find(patterns, parents=parents)
        return Contents(*tree.digest(sources, IgnoreRules.of(list(excludes))))
