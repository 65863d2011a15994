"""A blob as a stream: counted and hashed as it is read, taken up again where it broke off.

`read` gives b"" only once size and digest are right; otherwise it raises instead. So a
caller that reads to the end and then publishes has verified bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import BinaryIO, Final

from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.registry.errors import ConnectionLost
from dockmagic_runtime.registry.manifest import Descriptor
from dockmagic_runtime.registry.retry import Retries
from dockmagic_runtime.registry.transport import Response

CHUNK: Final = 256 << 10
_PROGRESS: Final = 1 << 20  # a connection that brought this much does not count as a failure
_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(?:\d{1,19}|\*)")


class BlobStream(Closing):
    """Readable and a context manager. `fetch` answers with the blob from an offset on; what it
    has to repeat counts as a failure of this stream.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        fetch: Callable[[int, Retries], Response],
        retries: Retries,
    ) -> None:
        self.descriptor = descriptor
        self.position = 0
        self.progress: Callable[[int], None] = _ignore
        self._fetch = fetch
        self._retries = retries
        self._hash = hashlib.sha256()
        self._response: Response | None = None
        self._safe = 0  # where the failures were last forgotten
        self._is_verified = False

    def skip(self, file: BinaryIO) -> None:
        """Take what `file` holds as the beginning of the blob: it is hashed, not fetched."""
        while self.position < self.descriptor.size and (
            piece := file.read(min(CHUNK, self.descriptor.size - self.position))
        ):
            self._take(piece)

    def open(self) -> BlobStream:
        """Asks for the blob now, so that a missing one raises before the first read."""
        self._connect()
        return self

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes. Raises RemoteFailed when they are not the blob's."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        wanted = min(size, self.descriptor.size - self.position)
        while wanted:
            try:
                piece = self._connect().read(wanted)
            except ConnectionLost as error:
                self._lost(error)
                continue
            if piece:
                self._take(piece)
                return piece
            self._lost(ConnectionLost(f"{self._name}: unexpected EOF at {self.position}"))
        if size and not self._is_verified:
            self._verify()
        return b""

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    @property
    def _name(self) -> str:
        return f"blob {self.descriptor.digest}"

    def _take(self, piece: bytes) -> None:
        self._hash.update(piece)
        self.position += len(piece)
        self.progress(self.position)
        if self.position - self._safe >= _PROGRESS:
            self._safe = self.position
            self._retries.succeeded()

    def _lost(self, error: ConnectionLost) -> None:
        self.close()
        self._retries.failed(error)

    def _connect(self) -> Response:
        if self._response is None:
            response = self._fetch(self.position, self._retries)
            try:
                self._align(response)
            except BaseException:
                response.close()
                raise
            self._response = response
        return self._response

    def _align(self, response: Response) -> None:
        """Bring an answer to where the stream is: a server may ignore what Range asks for."""
        start = self._start(response)
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and start + int(length) != self.descriptor.size:
            raise RemoteFailed(
                f"{self._name} has {start + int(length)} bytes, "
                f"and its manifest promises {self.descriptor.size}"
            )
        while start < self.position:
            piece = response.read(min(CHUNK, self.position - start))
            if not piece:
                raise ConnectionLost(f"{self._name}: unexpected EOF at {start}")
            start += len(piece)

    def _start(self, response: Response) -> int:
        if response.status != 206:
            return 0
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        start = int(match[1]) if match else -1
        if not 0 <= start <= self.position:
            raise RemoteFailed(f"{self._name}: the registry sent another range than it was asked")
        return start

    def _verify(self) -> None:
        if self._response is not None and self._surplus(self._response):
            raise RemoteFailed(
                f"{self._name} has more than the {self.descriptor.size} bytes "
                "that its manifest promises"
            )
        if f"sha256:{self._hash.hexdigest()}" != self.descriptor.digest:
            raise RemoteFailed(
                f"filesystem layer verification failed for digest {self.descriptor.digest}",
                hint="the registry sent other bytes than the image names",
            )
        self._is_verified = True
        self.close()

    def _surplus(self, response: Response) -> bool:
        """Whether more comes than was promised; reading so also ends the answer."""
        try:
            return bool(response.read(1))
        except ConnectionLost:
            return False  # all we wanted is here


def _ignore(position: int) -> None:
    """The progress callback of a stream without one."""
