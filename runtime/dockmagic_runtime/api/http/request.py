"""A request as handlers see it: path, query, headers, a body that is read in pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from dockmagic_runtime.api.http.connection import HttpConnection
from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.query import Query

DOCUMENT_LIMIT: Final = 8 * 1024 * 1024  # bytes of a JSON body
Version = tuple[int, int]


class Body:
    """The request's body as a file that can only be read forwards."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection
        self._rest = b""
        self._is_over = False

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; fewer only at the end. Raises ProtocolError, TimeoutError."""
        pieces, wanted = [self._rest], size - len(self._rest)
        self._rest = b""
        while not self._is_over and (size < 0 or wanted > 0):
            piece = self._connection.read()
            self._is_over = not piece
            pieces.append(piece)
            wanted -= len(piece)
        data = b"".join(pieces)
        if 0 <= size < len(data):
            data, self._rest = data[:size], data[size:]
        return data


class Request:
    """One request. `path` is decoded and without the version; `version` that of the API.

    `arguments` are the parts of the path that its route names.
    """

    def __init__(
        self,
        connection: HttpConnection,
        method: str,
        path: str,
        query: Query,
        headers: Mapping[str, str],
        version: Version,
    ) -> None:
        self.connection = connection
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.version = version
        self.arguments: Mapping[str, str] = {}
        self.body = Body(connection)

    def __getitem__(self, name: str) -> str:
        """A part of the path."""
        return self.arguments[name]

    def document(self, *, optional: bool = False) -> dict[str, Any]:
        """The JSON object in the body. Raises HttpError (400) in Go's words.

        Args:
            optional: Whether an empty body is an empty object.
        """
        data = self.body.read(DOCUMENT_LIMIT + 1)
        if len(data) > DOCUMENT_LIMIT:
            raise HttpError(413, "request body too large")
        if not data.strip():
            if optional:
                return {}
            raise HttpError(400, "invalid JSON: got EOF while reading request body")
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HttpError(400, f"unsupported Content-Type header ({kind}): must be "
                                 "'application/json'")  # fmt: skip
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, f"invalid JSON: {error}") from None
        if document is None and optional:
            return {}
        if not isinstance(document, dict):
            raise HttpError(400, "invalid JSON: the body is not an object")
        return document
