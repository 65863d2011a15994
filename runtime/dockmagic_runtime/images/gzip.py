"""gzip by several threads, with bytes that do not depend on how many there are.

Strategy: blocks are compressed on their own, each with the end of the one before as its
dictionary, and joined as one gzip member; zlib works without the interpreter's lock. No time and
no name in the header, so the same layer always has the same digest.
Source: RFC 1951 and 1952; the way pigz(1) describes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final

from dockmagic_runtime.images.pack import Writable

BLOCK: Final = 512 << 10
_LEVEL: Final = 3  # twice as fast as zlib's default, for three hundredths more bytes
_WINDOW: Final = 32 << 10
_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_MOST_THREADS: Final = 4


class GzipWriter:
    """Compresses what is written to it into `out`. Only leaving the `with` well ends the stream."""

    def __init__(self, out: Writable, *, threads: int = 0) -> None:
        self._out = out
        count = threads or min(os.cpu_count() or 1, _MOST_THREADS)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="gzip")
        self._running: deque[Future[bytes]] = deque()
        self._most_running = 2 * count  # so memory is bounded
        self._pending = bytearray()
        self._dictionary = b""
        self._crc = 0
        self._size = 0
        out.write(_HEADER)

    def write(self, data: bytes, /) -> int:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._pending += data
        while len(self._pending) > BLOCK:  # the last block is known only at the end
            self._submit(bytes(self._pending[:BLOCK]), is_last=False)
            del self._pending[:BLOCK]
        return len(data)

    def _submit(self, block: bytes, *, is_last: bool) -> None:
        while len(self._running) >= self._most_running:
            self._out.write(self._running.popleft().result())
        self._running.append(self._pool.submit(_deflated, block, self._dictionary, is_last))
        self._dictionary = block[-_WINDOW:]

    def _finish(self) -> None:
        self._submit(bytes(self._pending), is_last=True)
        while self._running:
            self._out.write(self._running.popleft().result())
        self._out.write(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def __enter__(self) -> GzipWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._pool.shutdown(cancel_futures=True)


def _deflated(block: bytes, dictionary: bytes, is_last: bool) -> bytes:
    raw = -zlib.MAX_WBITS
    if dictionary:
        deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, raw, zdict=dictionary)
    else:
        deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, raw)
    flush = zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH
    return deflater.compress(block) + deflater.flush(flush)
