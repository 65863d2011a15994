"""Images that are made here other than by a build: of a container's changes, of an archive."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.commit import ImportSpec
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.reference import ImageReference

Json = dict[str, Any]
Changes = Callable[[Json, Sequence[str]], Json]  # `builder.changes.apply_changes`
_INHERITED: Final = ("architecture", "os", "os.version", "os.features", "variant")
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def compose(
    images: ImageStore,
    layers: LayerStore,
    *,
    chain_id: str,
    config: Json,
    entry: Json,
    base: Json | None = None,
    author: str = "",
    names: Sequence[str] = (),
) -> Image:
    """Keep the image with the layers up to `chain_id` and `entry` as its last line of history.

    `base` is the document of the image that it stands on, if there is one. The entry gets its
    time here. The image gets its `names` at once: one without a name may be pruned.
    """
    base = base or {}
    now = _now()
    chain = layers.chain(chain_id)[::-1]
    document = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        **{key: base[key] for key in _INHERITED if base.get(key)},
        **({"author": author} if author else {}),
        "config": config,
        "created": now,
        "history": [*(base.get("history") or ()), {"created": now, **entry}],
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in chain]},
    }
    encoded = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return images.put(
        encoded.encode("utf-8", "surrogatepass"), [layer.chain_id for layer in chain], names=names
    )


def import_image(
    images: ImageStore,
    layers: LayerStore,
    tar: Readable,
    spec: ImportSpec,
    apply_changes: Changes,
) -> Image:
    """An image of one layer, the contents of `tar`, compressed or not.

    Raises InvalidInput for what is no archive, or no `changes`.
    """
    check_reference(spec.reference)  # mistakes first: the archive may be large
    config = apply_changes({}, spec.changes)
    layer = layers.add_kept(tar, "")
    image = compose(
        images,
        layers,
        chain_id=layer.chain_id,
        config=config,
        entry={"comment": spec.message},
        names=(spec.reference,) if spec.reference else (),
    )
    images.tell_imported(image)
    return named(images, image, spec.reference)


def check_reference(reference: str) -> None:
    """Raises InvalidInput for what cannot be the name of an image. "" is no name."""
    if reference and ImageReference.parse(reference).digest:
        raise InvalidInput("cannot import digest reference", hint="a name may have a tag only")


def named(images: ImageStore, image: Image, reference: str) -> Image:
    """The image with the names it has now; it was kept with `reference` already."""
    if reference:
        images.emit_tag(image, reference)
    return image


def _now() -> str:
    nanoseconds = time.time_ns()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 10**9))
    return f"{whole}.{nanoseconds % 10**9:09d}Z"
