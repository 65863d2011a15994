"""ADD's local archives: recognised by their contents, not by their names, and unpacked."""

from __future__ import annotations

import os
from typing import Final

from dockmagic_runtime.builder.context.file_digests import open_file
from dockmagic_runtime.builder.context.tree import Source, SourceTree
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.compression import decompressed
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.tar.entry import ByteStream
from dockmagic_runtime.images.tar.reader import ArchiveReader
from dockmagic_runtime.images.unpack import unpack

_PROBE: Final = Limits(size=16 << 20, entries=64)


def is_archive(tree: SourceTree, source: Source) -> bool:
    """Whether the file is a tar, compressed or not, with at least one member."""
    if source.is_dir:
        return False
    with os.fdopen(_open(tree, source), "rb") as stream:
        try:
            reader = ArchiveReader(ByteStream(decompressed(stream), _PROBE.size), _PROBE)
            return next(iter(reader), None) is not None
        except InvalidInput:
            return False


def unpack_archive(tree: SourceTree, source: Source, directory: str) -> None:
    """Unpack into an empty directory of ours."""
    with os.fdopen(_open(tree, source), "rb") as stream:
        unpack(stream, directory, is_lenient=True)


def _open(tree: SourceTree, source: Source) -> int:
    (item,) = (open_file(item.parent_fd, "") for item in tree.items(source, IgnoreRules(())))
    return item
