"""COPY and ADD as steps: contents found and digested for the key, then copied into a layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from dockmagic_runtime.builder.context.content_hash import ContentHasher, Contents
from dockmagic_runtime.builder.context.remotes import Remotes
from dockmagic_runtime.builder.context.scratch import OverlayDirectories, Scratch
from dockmagic_runtime.builder.context.transfer import Owner, Transfer
from dockmagic_runtime.builder.context.tree import Source, SourceTree
from dockmagic_runtime.builder.error_locations import step_errors
from dockmagic_runtime.builder.plan.steps import TransferStep
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.sandbox.users import resolve


class Copier:
    """The COPYs and ADDs of one build."""

    def __init__(self, hasher: ContentHasher, remotes: Remotes, scratch: Scratch) -> None:
        self._hasher = hasher
        self._remotes = remotes
        self._sources = hasher.sources
        self._scratch = scratch

    def contents(self, step: TransferStep, source_layers: Sequence[str]) -> Contents:
        """The digest of what the step copies; `source_layers` are those that it copies from."""
        with step_errors(step, step.sources):
            contents = self._hasher.contents(
                step.source_stage, source_layers, step.sources, step.excludes, parents=step.parents
            )
            if not step.remotes:
                return contents
            digests = (contents.digest, *map(self._remotes.digest, step.remotes))
            return replace(contents, digest="\0".join(digests))

    def copy(
        self,
        step: TransferStep,
        source_layers: Sequence[str],
        below: Sequence[str],
        directories: OverlayDirectories,
    ) -> None:
        """Do it: `below` are the layers of the step's own stage, `directories` get the new one."""
        with step_errors(step, step.sources):
            owner = self._owner(step, below)
            # --link: a layer that knows nothing of those below, and can move onto others
            layers = () if step.link else below
            with self._sources.writable(layers, directories) as target:
                transfer = Transfer(target, owner, step.mode, is_bare=not layers)
                fresh = self._only_directory(step, source_layers) if layers else None
                if fresh is None or not transfer.make_new(step.destination):
                    fresh = None
                    self._copy_sources(step, source_layers, transfer, directories)
            if fresh is not None:
                # nothing is below: written past the overlay, which costs a third more
                tree, source = fresh
                with Root.at(directories.upper) as upper:
                    alone = Transfer(upper, owner, step.mode)
                    excludes = IgnoreRules.of(list(step.excludes))
                    alone.copy_to_new(tree, source, step.destination, excludes)

    def _only_directory(
        self, step: TransferStep, source_layers: Sequence[str]
    ) -> tuple[SourceTree, Source] | None:
        """The directory, if the step copies just one, and into one that it makes."""
        if step.parents or step.documents or step.remotes or len(step.sources) != 1:
            return None
        chosen = self._chosen(step, source_layers)
        if len(chosen) != 1 or not chosen[0][1].is_dir:
            return None
        return chosen[0][0], chosen[0][1]

    def _copy_sources(
        self,
        step: TransferStep,
        source_layers: Sequence[str],
        transfer: Transfer,
        directories: OverlayDirectories,
    ) -> None:
        excludes = IgnoreRules.of(list(step.excludes))
        chosen = self._chosen(step, source_layers)
        if len(chosen) > 1 and not step.into:
            raise InvalidInput(
                f"When using {step.keyword} with more than one source file, the destination "
                "must be a directory and end with a /"
            )
        for tree, source, unpacks in chosen:
            if unpacks and _is_archive(tree, source):
                self._unpack(step, tree, source, transfer, directories)
            elif step.parents:
                transfer.copy_with_parents(tree, source, step.destination, excludes=excludes)
            else:
                transfer.copy(tree, source, step.destination, into=step.into, excludes=excludes)
        for name, text in step.documents:
            data = text.encode("utf-8", "surrogateescape")
            transfer.write(name, data, step.destination, into=step.into)

    def _chosen(
        self, step: TransferStep, source_layers: Sequence[str]
    ) -> list[tuple[SourceTree, Source, bool]]:
        """What is copied, and whether it is unpacked if it is an archive."""
        chosen: list[tuple[SourceTree, Source, bool]] = []
        if step.sources:
            tree = self._hasher.tree(step.source_stage, source_layers)
            unpacks = step.unpacks is not False
            sources = tree.find(step.sources, parents=step.parents)
            chosen += [(tree, source, unpacks) for source in sources]
        for remote in step.remotes:
            chosen.append((*self._remotes.tree(remote), bool(step.unpacks)))
        return chosen

    def _unpack(
        self,
        step: TransferStep,
        tree: SourceTree,
        source: Source,
        transfer: Transfer,
        directories: OverlayDirectories,
    ) -> None:
        """Unpacked beside first: the archive's own links lead nowhere but into itself."""
        from dockmagic_runtime.builder.context.archives import unpack_archive

        if self._is_all_of(step, transfer, directories):
            unpack_archive(tree, source, directories.upper)
            return
        directory = str(self._scratch.directory())
        unpack_archive(tree, source, directory)
        with Root.at(directory) as root:
            unpacked = SourceTree(root, owned=True)
            # owners are the archive's, unless --chown says otherwise
            owner = transfer.owner if step.chown else None
            writer = Transfer(transfer.target, owner, step.mode, replaces=True)
            everything = Source("", "", is_dir=True)
            writer.copy(unpacked, everything, step.destination, into=True, excludes=IgnoreRules(()))

    @staticmethod
    def _is_all_of(step: TransferStep, transfer: Transfer, directories: OverlayDirectories) -> bool:
        """Whether the archive is a whole root file system: then it need not be copied again."""
        is_plain = step.destination == "/" and not step.chown and step.mode is None
        return is_plain and transfer.is_bare and not any(Path(directories.upper).iterdir())

    def _owner(self, step: TransferStep, below: Sequence[str]) -> Owner | None:
        """The owner of the copies; None keeps the owners of the sources."""
        if not step.chown:
            return (0, 0) if step.source_stage.is_context else None
        user, _, group = step.chown.partition(":")
        if _is_number(user) and (not group or _is_number(group)):
            return int(user), int(group or user)
        with self._sources.merged(below) as root:
            identity = resolve(root, step.chown)
        return identity.uid, identity.gid


def _is_archive(tree: SourceTree, source: Source) -> bool:
    from dockmagic_runtime.builder.context.archives import is_archive  # only ADD needs it

    return is_archive(tree, source)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
