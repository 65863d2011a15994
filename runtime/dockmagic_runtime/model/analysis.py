"""What an image is made of, looked at layer by layer. Layers are numbered from 1, the lowest."""

from __future__ import annotations

from msgspec import Struct

from dockmagic_runtime.model.image import Image, Layer


class WastedFile(Struct, frozen=True, kw_only=True):
    """Bytes that every copy of the image carries and no container ever sees.

    The file `path` of layer `layer` is replaced or removed by layer `hidden_by`.
    """

    path: str
    size: int
    layer: int
    hidden_by: int
    is_removed: bool


class Anatomy(Struct, frozen=True, kw_only=True):
    """An image's layers, lowest first, and what they waste.

    Wasted are the bytes of regular files that a later layer replaces or removes; a file with
    several links counts once, and only when no link to it is left. `wasted` has the largest of
    `wasted_files` files, by size.
    """

    image: Image
    layers: tuple[Layer, ...]
    wasted: tuple[WastedFile, ...]
    wasted_bytes: int
    wasted_files: int

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.layers)

    @property
    def efficiency(self) -> float:
        """The part of all bytes that can be seen in a container, from 0 to 1."""
        return 1 - self.wasted_bytes / self.size if self.size else 1.0


class Sharing(Struct, frozen=True, kw_only=True):
    """Two images side by side: `common` layers are on disk once, those above are each one's own."""

    first: Image
    second: Image
    common: tuple[Layer, ...]
    only_first: tuple[Layer, ...]
    only_second: tuple[Layer, ...]

    @property
    def shared_bytes(self) -> int:
        return sum(layer.size for layer in self.common)


class FileVersion(Struct, frozen=True, kw_only=True):
    """What one layer says about a path: `kind` is "A" added, "C" changed, "D" removed.

    `type` is "file", "directory", "link" or what else there is, empty when it was removed.
    `digest` is that of a regular file's contents, empty for one too large to be read for this.
    `diff` are the lines of a unified diff to the version below, when both are short texts.
    """

    layer: int
    created_by: str
    kind: str
    type: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    modified: float = 0.0
    digest: str = ""
    target: str = ""  # of a symbolic link
    diff: tuple[str, ...] = ()


class FileOrigin(Struct, frozen=True, kw_only=True):
    """Where a path of an image comes from: one version for each layer that touches it.

    `path` is the one asked for, `real_path` where the links on its way lead.
    """

    image: Image
    path: str
    real_path: str
    versions: tuple[FileVersion, ...]

    @property
    def visible(self) -> FileVersion | None:
        """The version that a container sees, if it sees any."""
        last = self.versions[-1] if self.versions else None
        return last if last and last.kind != "D" else None
