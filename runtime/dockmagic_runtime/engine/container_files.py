"""The part of `engine.containers` that is about a container's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic_runtime.engine.facet import Facet, of_container

if TYPE_CHECKING:
    from dockmagic_runtime.containers.copy.copy import TarStream
    from dockmagic_runtime.images.compression import Readable
    from dockmagic_runtime.model.commit import CommitSpec
    from dockmagic_runtime.model.container import Change, PathStat
    from dockmagic_runtime.model.image import Image
    from dockmagic_runtime.model.usage import ContainerSize


class LocalContainerFiles(Facet):
    """Changes, archives and sizes of containers' files."""

    @of_container
    def diff(self, name: str) -> tuple[Change, ...]:
        """Returns what a container's writable layer changes of its image, by path.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
        """
        from dockmagic_runtime.containers.copy.changes import changes

        own = self._components
        record = own.containers.find(name)
        upper = own.containers.writable_layer(record)
        return changes(upper, own.starter.lowers(record.layers))

    @of_container
    def path_stat(self, name: str, path: str) -> PathStat:
        """Returns what a path in a container is. A symbolic link at its end is not followed.

        Args:
            name: Name, id, or unique prefix of an id.
            path: Absolute, or relative to the container's root.

        Raises:
            NotFound: No such container or path.
        """
        from dockmagic_runtime.containers.copy import copy

        own = self._components
        return copy.path_stat(own.starter, own.containers.find(name), path)

    @of_container
    def list_directory(self, name: str, path: str, *, limit: int = 10_000) -> tuple[PathStat, ...]:
        """Returns the entries of a directory in a container, by name.

        Args:
            name: Name, id, or unique prefix of an id.
            path: Absolute, or relative to the container's root.
            limit: The most entries that are read.

        Raises:
            NotFound: No such container or path.
            Conflict: The path is no directory.
        """
        from dockmagic_runtime.containers.copy import listing

        own = self._components
        return listing.of_container(own.starter, own.containers.find(name), path, limit)

    @of_container
    def get_archive(
        self, name: str, path: str, *, follow_link: bool = False, member: str = ""
    ) -> tuple[PathStat, TarStream]:
        """Opens a tar archive of a path in a container, whether it runs or not.

        Args:
            name: Name, id, or unique prefix of an id.
            path: A file or directory in the container.
            follow_link: Whether a symbolic link at the end of the path is followed.
            member: The archive's name of the path. Default: the last part of the path.

        Returns:
            What the path is, and the archive. Close it, or read it to its end.

        Raises:
            NotFound: No such container or path.
        """
        from dockmagic_runtime.containers.copy import copy

        own = self._components
        record = own.containers.find(name)
        return copy.copy_out(own.starter, record, path, follow_link=follow_link, member=member)

    @of_container
    def put_archive(
        self,
        name: str,
        path: str,
        tar: Readable,
        *,
        copy_uid_gid: bool = False,
        no_overwrite_dir_non_dir: bool = False,
    ) -> None:
        """Unpacks a tar archive into a directory of a container.

        Args:
            name: Name, id, or unique prefix of an id.
            path: The directory.
            tar: The archive, compressed or not.
            copy_uid_gid: Whether the owners in the archive are kept; else root owns the files.
            no_overwrite_dir_non_dir: Whether to refuse to replace a directory by something else, or
                something else by a directory.

        Raises:
            NotFound: No such container or directory.
            Conflict: The directory is mounted read-only.
            InvalidInput: The archive is damaged.
        """
        from dockmagic_runtime.containers.copy import copy

        own = self._components
        copy.copy_in(
            own.starter,
            own.containers.find(name),
            path,
            tar,
            copy_uid_gid=copy_uid_gid,
            no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
        )

    @of_container
    def export(self, name: str) -> TarStream:
        """Opens a tar archive of a container's files, without its volumes.

        Args:
            name: Name, id, or unique prefix of an id.

        Returns:
            The archive. Close it, or read it to its end.

        Raises:
            NotFound: No such container.
        """
        from dockmagic_runtime.containers.copy.export import export

        own = self._components
        return export(own.starter, own.containers.find(name))

    @of_container
    def commit(self, name: str, spec: CommitSpec | None = None) -> Image:
        """Creates an image of a container's changes.

        Args:
            name: Name, id, or unique prefix of an id.
            spec: Reference, author, message and changes of the image's config.

        Raises:
            NotFound: No such container.
            InvalidInput: An impossible reference or change.
        """
        from dockmagic_runtime.builder.plan.config_changes import apply_changes
        from dockmagic_runtime.containers.copy.commit import commit
        from dockmagic_runtime.model.commit import CommitSpec

        own, spec = self._components, spec or CommitSpec()
        record = own.containers.find(name)
        with own.layers.leasing():
            return commit(own.containers, own.images, own.layers, record, spec, apply_changes)

    @of_container
    def size(self, name: str) -> ContainerSize:
        """Returns the bytes of a container's writable layer, and with those of its image.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
        """
        from dockmagic_runtime.containers.sizes import size

        own = self._components
        return size(own.containers, own.layers, own.containers.find(name))
