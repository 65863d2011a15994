"""How a registry can fail, by what a caller may do about it."""

from __future__ import annotations

from dockmagic_runtime.errors import NotFound, RemoteFailed


class RegistryUnreachable(RemoteFailed):
    """No server that speaks the registry's protocol answered: no route, no name, no such service.

    Not raised once the registry has said anything, however little we like it, except for the
    service it sends us to for a token. The engine may offer a stand-in instead.
    """


class AccessDenied(NotFound):
    """The registry said no: 401 or 403.

    A NotFound, as with Docker: a registry does not disclose which names exist.
    """


class ConnectionLost(RemoteFailed):
    """A connection ended in the middle of an answer. Retried inside this room."""


class Stalled(ConnectionLost):
    """A connection that brought no byte for as long as is waited. Tried once more, then raised."""
