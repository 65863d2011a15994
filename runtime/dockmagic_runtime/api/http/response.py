"""What a handler returns: a document, bytes, a stream, or nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final

from dockmagic_runtime.api.http.connection import HttpConnection
from dockmagic_runtime.errors import DockmagicError

JSON: Final = "application/json"
Headers = Sequence[tuple[str, str]]


class Response:
    """A status, headers, and a body of known length."""

    def __init__(
        self, status: int, body: bytes = b"", kind: str = "", headers: Headers = ()
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [*([("Content-Type", kind)] if kind else []), *headers]

    def send(self, connection: HttpConnection, common: Headers, *, head_only: bool) -> None:
        if self.status in (204, 304):
            connection.start(self.status, [*common, *self.headers])
            connection.finish()
        elif head_only:
            length = ("Content-Length", str(len(self.body)))
            connection.start(self.status, [*common, *self.headers, length])
            connection.finish()
        else:
            connection.respond(self.status, [*common, *self.headers], self.body)


def document(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """A JSON document, with the line feed that Go's encoder ends it with."""
    return Response(status, encoded(value), JSON, headers)


def encoded(value: Any) -> bytes:
    return (
        json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(
            errors="surrogateescape"
        )
        + b"\n"
    )


def empty(status: int = 204) -> Response:
    return Response(status)


def failure(status: int, message: str) -> Response:
    """An error as every client of Docker reads it."""
    return document({"message": message}, status)


class Stream:
    """A body that is sent piece by piece, in chunks, each as soon as it is there."""

    def __init__(self, pieces: Iterable[bytes], kind: str = JSON, *, headers: Headers = ()) -> None:
        self.pieces = pieces
        self.kind = kind
        self.headers = headers

    def send(self, connection: HttpConnection, common: Headers, *, head_only: bool) -> None:
        connection.start(200, [*common, ("Content-Type", self.kind), *self.headers])
        try:
            if not head_only:
                for piece in self.pieces:
                    connection.write(piece)
            connection.finish()
        finally:
            close = getattr(self.pieces, "close", None)
            if close is not None:
                close()


class Written:
    """A body that a function writes to a file; the file sends what it is given."""

    def __init__(self, write: Callable[[BinaryIO], None], kind: str) -> None:
        self._write = write
        self._kind = kind

    def send(self, connection: HttpConnection, common: Headers, *, head_only: bool) -> None:
        connection.start(200, [*common, ("Content-Type", self._kind)])
        if not head_only:
            out = io.BufferedWriter(_Body(connection), 256 * 1024)
            self._write(out)
            out.flush()
        connection.finish()


class _Body(io.RawIOBase):
    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._connection.write(bytes(data))
        return len(data)


def progress(documents: Iterator[Any]) -> Stream:
    """Documents, one a line; a later error of the engine's is the last of them.

    Raises what the engine raises before the first: that can still be the response's status.
    """
    first = next(documents, None)
    return Stream(_lines(first, documents))


def _lines(first: Any, documents: Iterator[Any]) -> Iterator[bytes]:
    if first is not None:
        yield encoded(first)
    try:
        for document in documents:
            yield encoded(document)
    except DockmagicError as error:
        yield encoded({"errorDetail": {"message": error.message}, "error": error.message})
