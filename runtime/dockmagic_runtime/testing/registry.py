"""`FakeRegistry`: a registry in this process, on loopback, that fails as a test asks it to.

It speaks the distribution protocol from memory, whole enough for clients other than ours, and
notes every request. A `Fault` says what goes wrong with the next requests that match: broken
connections, flipped bytes, wrong sizes, redirects, any status. Without faults it is honest.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING

from dockmagic_runtime.testing.registry_server import Server
from dockmagic_runtime.testing.registry_state import Fault, RegistryState, RequestLog, digest_of

if TYPE_CHECKING:
    import ssl

__all__ = ["FakeRegistry", "Fault", "RequestLog", "digest_of"]


class FakeRegistry(RegistryState):
    """A context manager; `host` is `address:port`. Fill it with `add_image` or by pushing.

    With `user` the server asks for this name and password; with `tokens` a token service on the
    same server asks for them, and gives anonymous clients what needs no password.
    """

    def __init__(
        self,
        *,
        user: tuple[str, str] | None = None,
        tokens: bool = False,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        super().__init__(user=user, tokens=tokens, scheme="http" if tls is None else "https")
        self._server = Server(self, address)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        if self.errors and error is None:
            raise self.errors[0]

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def url(self) -> str:
        return self._server.url
