"""`engine.manifests`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dockmagic_runtime.engine.facet import Facet

if TYPE_CHECKING:
    from dockmagic_runtime.model.manifest_list import Annotation
    from dockmagic_runtime.model.progress import PullStatus
    from dockmagic_runtime.model.search import RemoteManifest


class LocalManifests(Facet):
    """The manifest lists that this user puts together, beside those of Docker's client."""

    def create(
        self, name: str, images: Sequence[str], *, amend: bool = False, insecure: bool = False
    ) -> str:
        """Begins a manifest list, or adds to one.

        Args:
            name: The name that a registry is to have it under.
            images: The names of images of the same registry.
            amend: Whether the list may be there already.
            insecure: Whether to accept any certificate, and plain HTTP.

        Returns:
            The name in full.

        Raises:
            Conflict: The list is there, and `amend` is false.
            NotFound: The registry has no such image; nothing is kept.
            InvalidInput: An impossible name, or an image that is a list itself.
            RegistryUnreachable: No answer.
        """
        from dockmagic_runtime.distribution import manifest_lists

        return manifest_lists.create(name, images, amend=amend, insecure=insecure)

    def annotate(self, name: str, image: str, annotation: Annotation) -> None:
        """Says what an image of a list runs on.

        Args:
            name: The list's name.
            image: The image's, as it was given to `create`.
            annotation: What to change.

        Raises:
            NotFound: No such list, or it has no such image.
            InvalidInput: An operating system without that architecture.
        """
        from dockmagic_runtime.distribution import manifest_lists

        manifest_lists.annotate(name, image, annotation)

    def get(self, name: str, image: str) -> RemoteManifest:
        """Returns one image of a list.

        Args:
            name: The list's name.
            image: The image's, as it was given to `create`.

        Raises:
            NotFound: No such list, or it has no such image.
        """
        from dockmagic_runtime.distribution import manifest_lists

        return manifest_lists.get(name, image)

    def list(self, name: str) -> tuple[RemoteManifest, ...]:
        """Lists the images of a list by name.

        Args:
            name: The list's name.

        Raises:
            NotFound: No such list.
        """
        from dockmagic_runtime.distribution import manifest_lists

        return manifest_lists.members(name)

    def push(
        self, name: str, *, purge: bool = False, insecure: bool = False
    ) -> Iterator[PullStatus]:
        """Gives a list to its registry.

        Args:
            name: The list's name.
            purge: Whether to forget the list afterwards.
            insecure: Whether to accept any certificate, and plain HTTP.

        Yields:
            A status for each image that another repository had, last the list's digest.

        Raises:
            NotFound: No such list.
            InvalidInput: An image of another registry, or without a platform.
            AccessDenied: The registry does not let this user write.
            RegistryUnreachable: No answer.
        """
        from dockmagic_runtime.distribution import manifest_lists

        return manifest_lists.push(name, purge=purge, insecure=insecure)

    def remove(self, name: str) -> None:
        """Forgets a list; its registry keeps what was pushed.

        Args:
            name: The list's name.

        Raises:
            NotFound: No such list.
        """
        from dockmagic_runtime.distribution import manifest_lists

        manifest_lists.remove(name)
