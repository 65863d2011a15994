"""Docker's rules for `rmi`: what is only untagged, what goes, what is in the way.

Source: moby, daemon/images/image_delete.go, as behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.reference import ImageReference


class Decision(Struct, frozen=True):
    untag: tuple[ImageReference, ...]
    delete: bool


def decide(
    image: Image,
    names: Sequence[ImageReference],
    *,
    reference: str,
    force: bool,
    container: str,
    is_alive: bool,
) -> Decision:
    """What to do about `image`, which has `names`.

    `reference` is the name that was given, or "" if it was an id. `container` uses the image; it
    runs if `is_alive`. Raises Conflict.
    """
    if not reference:
        _check_id(image, names, force, container, is_alive)
        return Decision(tuple(names), True)
    given = ImageReference.parse(reference)
    named = tuple(name for name in names if _is_same(name, given))
    if not _is_last(given, names):
        return Decision(named, False)
    if container and not force:
        raise Conflict(
            f'conflict: unable to remove repository reference "{reference}" (must force) - '
            f"container {container[:12]} is using its referenced image {image.short_id}"
        )
    if is_alive:
        return Decision(named, False)  # the image stays, without a name, while it runs
    return Decision(tuple(names), True)


def _is_same(name: ImageReference, given: ImageReference) -> bool:
    if given.digest:
        return (name.name, name.digest) == (given.name, given.digest)
    return name == given


def _is_last(given: ImageReference, names: Sequence[ImageReference]) -> bool:
    """Whether no other name is left but digests of the same repository."""
    others = [name for name in names if not _is_same(name, given)]
    return all(name.digest and name.name == given.name for name in others)


def _check_id(
    image: Image,
    names: Sequence[ImageReference],
    force: bool,
    container: str,
    is_alive: bool,
) -> None:
    what = f"conflict: unable to delete {image.short_id}"
    tags = [name for name in names if not name.digest]
    repositories = {name.name for name in names}
    if not force and (len(tags) > 1 or len(repositories) > 1):
        raise Conflict(
            f"{what} (must be forced) - image is referenced in multiple repositories",
            hint="remove it by name, or with -f",
        )
    if is_alive:
        raise Conflict(
            f"{what} (cannot be forced) - image is being used by running container "
            f"{container[:12]}",
            hint="stop the container first",
        )
    if container and not force:
        raise Conflict(
            f"{what} (must be forced) - image is being used by stopped container {container[:12]}",
            hint="remove the container first, or use -f",
        )
