"""`%files` in a page: the engine's side of the view, and the static form below it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic.commands.system.files import Files, fields_of, listed
from dockmagic.widgets.files_access import Parts, pieces
from dockmagic_runtime.model.container import ContainerSpec, PathStat

if TYPE_CHECKING:
    from dockmagic.session import Session
    from dockmagic.widgets.files_view import FilesView


class EngineFiles:
    """The files of a container, or of an image (whose files are read through a container that is
    made for it and never started)."""

    def __init__(self, session: Session, result: Files) -> None:
        self._session = session
        self._container = result.container
        self._image = result.image

    def listed(self, path: str) -> tuple[PathStat, ...]:
        engine = self._session.engine
        return listed(engine, path, container=self._container, image=self._image)

    def read(self, path: str) -> tuple[PathStat, Iterator[bytes]]:
        containers = self._session.engine.containers
        if self._container:
            status, archive = containers.get_archive(self._container, path, follow_link=True)
            return status, Parts(pieces(archive, status), archive.close)
        holder = containers.create(ContainerSpec(image=self._image, command=("true",)))
        try:
            status, archive = containers.get_archive(holder.id, path, follow_link=True)
        except BaseException:
            containers.remove(holder.id)
            raise
        remove = partial(containers.remove, holder.id)
        return status, Parts(pieces(archive, status), archive.close, remove)

    def write(self, directory: str, tar: bytes) -> None:
        self._session.engine.containers.put_archive(self._container, directory, io.BytesIO(tar))


def files_view(session: Session, result: Files) -> FilesView:
    from dockmagic.widgets.files_view import FilesView

    source = EngineFiles(session, result)
    return FilesView(result.name, result.path, source, writable=bool(result.container))


def at_path(session: Session, result: Files, path: str) -> Files:
    """The same as it is now in another directory."""
    items = listed(session.engine, path, container=result.container, image=result.image)
    return replace(result, items=items, fields=fields_of(items), path=path)
