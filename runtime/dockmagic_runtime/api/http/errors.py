"""What may be wrong with a request or a connection, below the level of the engine's errors."""

from __future__ import annotations


class Disconnected(Exception):
    """The client has gone: there is no connection to answer on."""


class ProtocolError(Exception):
    """The bytes are no HTTP request that this server takes. `status` is the one to answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpError(Exception):
    """An answer with this status and message, where no error of the engine's fits."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
