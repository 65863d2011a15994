"""The live view of files: a page asks for directories, contents and pieces; all are messages."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, Protocol

import traitlets

from dockmagic.commands.output.text_tree import printable
from dockmagic.widgets.files_access import LARGEST, PIECE, SHOWN, head, is_text, packed
from dockmagic.widgets.mounted import MountedView
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.errors import Conflict, DockmagicError
from dockmagic_runtime.model.container import PathStat

_OPEN: Final = 8  # downloads and uploads at a time


class Source(Protocol):
    """A container's or an image's files."""

    def listed(self, path: str) -> tuple[PathStat, ...]: ...

    def read(self, path: str) -> tuple[PathStat, Iterator[bytes]]: ...

    def write(self, directory: str, tar: bytes) -> None: ...


class FilesView(MountedView):
    """One browser of files. `path` is where the page looks now."""

    modules: ClassVar[tuple[str, ...]] = ("files.js",)
    title = traitlets.Unicode().tag(sync=True)
    path = traitlets.Unicode("/").tag(sync=True)
    writable = traitlets.Bool(False).tag(sync=True)

    def __init__(self, title: str, path: str, source: Source, *, writable: bool) -> None:
        super().__init__(title=plain(title), path=path, writable=writable)
        self._source = source
        self._downloads: dict[str, Iterator[bytes]] = {}
        self._uploads: dict[str, bytearray] = {}
        self.on_moved: Callable[[], None] = lambda: None

    def close(self) -> None:
        for download in self._downloads.values():
            _close(download)
        self._downloads.clear()
        self._uploads.clear()
        super().close()

    def receive(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        handlers = {
            "list": self._list, "read": self._read, "download": self._download,
            "next": self._next, "upload": self._upload,
        }  # fmt: skip
        handler = handlers.get(str(message.get("kind")))
        if handler is None:
            return
        try:
            handler(message, buffers)
        except DockmagicError as error:
            self._answer(message, "error", text=plain(error.message))

    def _answer(
        self, message: dict[str, Any], kind: str, data: bytes | None = None, **more: Any
    ) -> None:
        self.send({"kind": kind, "page": message.get("page"), **more}, [data] if data else None)

    def _list(self, message: dict[str, Any], _: list[bytes]) -> None:
        path = posixpath.normpath(posixpath.join("/", str(message["path"])))
        entries = self._source.listed(path)
        self.path = path
        self._answer(message, "listing", path=path, entries=[_row(entry) for entry in entries])
        self.on_moved()

    def _read(self, message: dict[str, Any], _: list[bytes]) -> None:
        path = str(message["path"])
        status, parts = self._source.read(path)
        data = head(parts)
        text = plain(data) if is_text(data) else None
        cut = status.size > SHOWN
        self._answer(message, "content", path=path, text=text, size=status.size, cut=cut)

    def _download(self, message: dict[str, Any], _: list[bytes]) -> None:
        if len(self._downloads) >= _OPEN:
            raise Conflict("too many downloads at a time")
        path = str(message["path"])
        status, parts = self._source.read(path)
        self._downloads[str(message["id"])] = parts
        base = posixpath.basename(path.rstrip("/")) or "root"
        name = base if stat.S_ISREG(status.mode) else f"{base}.tar"
        self._answer(message, "begin", id=message["id"], name=name)

    def _next(self, message: dict[str, Any], _: list[bytes]) -> None:
        """Pieces of the archive may be small: some go into one message."""
        id = str(message["id"])
        parts = self._downloads.get(id)
        if parts is None:
            return
        data = bytearray()
        try:
            for part in parts:
                data += part
                if len(data) >= PIECE:
                    break
            else:
                del self._downloads[id]
        except BaseException:
            self._downloads.pop(id, None)
            raise
        self._answer(message, "piece", bytes(data), id=id, last=id not in self._downloads)

    def _upload(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if not self.writable:
            raise Conflict("an image cannot be changed: start a container of it")
        id, name = str(message["id"]), str(message["name"])
        if id not in self._uploads and len(self._uploads) >= _OPEN:
            raise Conflict("too many uploads at a time")
        data = self._uploads.setdefault(id, bytearray())
        for buffer in buffers:
            data += bytes(buffer)
        if len(data) > LARGEST:
            del self._uploads[id]
            raise Conflict(f"{name} is larger than {LARGEST >> 20} MiB: docker cp has no limit")
        if message.get("last"):
            del self._uploads[id]
            self._source.write(str(message["path"]), packed(name, bytes(data)))
            self._answer(message, "uploaded", id=id, name=name)
        else:
            self._answer(message, "more", id=id)


def _row(entry: PathStat) -> list[Any]:
    """Names that are no UTF-8 are spelled out: a page can show them, and not ask for them."""
    name, target = (
        text if _is_utf8(text) else printable(text) for text in (entry.name, entry.link_target)
    )
    return [name, stat.filemode(entry.mode), entry.size, entry.mtime, target]


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _close(parts: Iterator[bytes]) -> None:
    close: Callable[[], None] = getattr(parts, "close", lambda: None)
    close()
