"""An image taken apart: its layers with their files, what they waste, what two images share.

Nothing is unpacked or mounted for it: the trees of the layers are looked at where they lie. What
is kept of an image is bounded; what is counted is all of it.
"""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.images.file_history import origin
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.images.waste import waste
from dockmagic_runtime.model.analysis import Anatomy, FileOrigin, Sharing
from dockmagic_runtime.model.image import Image, Layer, LayerFile

MOST_FILES: Final = 300_000  # paths that are kept of one image


class ImageAnalyzer:
    """Looks into the images of one Docker area."""

    def __init__(
        self, images: ImageStore, layers: LayerStore, *, most_files: int = MOST_FILES
    ) -> None:
        self._images = images
        self._layers = layers
        self._most_files = most_files

    def layers(self, image: Image, *, above: int = 0) -> tuple[Layer, ...]:
        """The layers with their files, lowest first, without the lowest `above`."""
        steps = list(zip(image.chain_ids, _instructions(image), strict=True))
        left = self._most_files
        layers: list[Layer] = []
        for chain_id, created_by in steps[above:]:
            layers.append(self._layer(image, chain_id, created_by, left))
            left -= len(layers[-1].files)
        return tuple(layers)

    def _layer(self, image: Image, chain_id: str, created_by: str, most: int) -> Layer:
        record = self._layers.get(chain_id)
        files, counts = self._layers.survey(chain_id, most)
        return Layer(
            diff_id=record.diff_id,
            chain_id=chain_id,
            created_by=created_by,
            size=record.size,
            files=tuple(LayerFile(path=path, kind=kind, size=size) for path, kind, size in files),
            shared_with=self._images.shared_with(chain_id, image.id),
            added=counts["A"],
            changed=counts["C"],
            removed=counts["D"],
        )

    def anatomy(self, image: Image) -> Anatomy:
        """The layers, and the files of them that a later layer replaces or removes."""
        layers = self.layers(image)
        wasted = waste([self._layers.path(chain_id) for chain_id in image.chain_ids])
        return Anatomy(
            image=image,
            layers=layers,
            wasted=wasted.by_size(),
            wasted_bytes=wasted.bytes,
            wasted_files=wasted.files,
        )

    def sharing(self, first: Image, second: Image) -> Sharing:
        """The layers that both have below all others, and those that each has alone."""
        pairs = zip(first.chain_ids, second.chain_ids, strict=False)
        common = sum(own == other for own, other in pairs)  # a chain id covers all below it
        layers = self.layers(first)
        return Sharing(
            first=first,
            second=second,
            common=layers[:common],
            only_first=layers[common:],
            only_second=self.layers(second, above=common),
        )

    def origin(self, image: Image, path: str) -> FileOrigin:
        """Where a file comes from. Raises NotFound when no layer has the path."""
        directories = [self._layers.path(chain_id) for chain_id in image.chain_ids]
        return origin(image, path, directories, _instructions(image))


def _instructions(image: Image) -> tuple[str, ...]:
    """What made each layer, as far as the history says."""
    commands = [row.created_by for row in image.history if not row.empty_layer]
    return tuple((commands + [""] * len(image.chain_ids))[: len(image.chain_ids)])
