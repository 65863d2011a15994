"""An overlay's upper directory (or a layer's) into the tar that the OCI image spec wants.

Deterministic: members sorted by name, numeric owners, whole seconds, no access times, extended
headers only where ustar is too small or for extended attributes. So the digest of the tar is a
function of the tree, and a layer kept unpacked can be packed again to the same diff id. Whiteouts
and opaque directories become `.wh.` members, files with several names hard links.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import BinaryIO, Protocol

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.tar.writer import TreeArchive
from dockmagic_runtime.linux.root import Root


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Packed(Struct, frozen=True):
    """`diff_id` is the digest of the tar, `size` that of the tree, as `tree_size` counts."""

    diff_id: str
    size: int
    entries: int


def pack(directory: str, out: Writable | None = None, *, clamp_mtime: int | None = None) -> Packed:
    """Write the tar of `directory` (a host path of ours) to `out`, or only compute its digest.

    Times later than `clamp_mtime` (seconds) become that, as SOURCE_DATE_EPOCH asks for.
    """
    digest = hashlib.sha256()
    tar = TreeArchive(as_layer=True, clamp_mtime=clamp_mtime)
    with Root.at(directory) as root:
        for chunk in tar.below(root.fd):
            digest.update(chunk)
            if out is not None:
                out.write(chunk)
    return Packed(f"sha256:{digest.hexdigest()}", tar.size, tar.entries)


def packs_to(directory: str, tar: BinaryIO) -> bool:
    """Whether `pack` would write exactly what `tar` has; found out at the first difference."""
    with Root.at(directory) as root, closing(TreeArchive(as_layer=True).below(root.fd)) as chunks:
        try:
            is_same = all(tar.read(len(chunk)) == chunk for chunk in chunks)
        except InvalidInput:
            return False  # it has what only others put into a layer
    return is_same and not tar.read(1)
