"""Layers and archives as they come: plain, gzip, xz, bzip2 or zstd, recognised by magic number.

Decoding is bounded: however little input a bomb needs, one chunk of output is at most a mebibyte
large. Several members one after the other are one stream, as gzip(1) and pigz write them.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from dockmagic_runtime.errors import InvalidInput, Unsupported

CHUNK: Final = 1 << 20
# smaller on purpose: every member's end copies what is left of the input, and an image made for
# lazy pulling has one member per file
_INPUT: Final = 1 << 17
_XZ_MEMORY: Final = 256 << 20
_ZSTD_WINDOW: Final = 128 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS


class Readable(Protocol):
    """All that is asked of a stream: bytes, and b"" at its end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Plain:
    """Chunks that are known to be no compressed stream, whatever they begin with.

    A tar begins with the name of its first member, which may well be "BZh".
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = filter(None, chunks)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            data, self._rest = self._rest + b"".join(self.chunks), b""
            return data
        self._rest = self._rest or next(self.chunks, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def decompressed(stream: Readable) -> Iterator[bytes]:
    """The contents of `stream` in chunks of at most `CHUNK` bytes, none of them empty.

    Those of a `Plain` are as large as they are.
    """
    if isinstance(stream, Plain):
        return stream.chunks
    head = _at_least(stream, 6)
    if head.startswith(b"\x1f\x8b"):
        return _members(stream, head, _gzip_decoder)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(stream, head)
    if head.startswith(b"\xfd7zXZ\x00"):
        return _members(stream, head, _xz_decoder)
    if head.startswith(b"BZh"):
        return _members(stream, head, _bzip2_decoder)
    return _plain(stream, head)


def _at_least(stream: Readable, size: int) -> bytes:
    """The beginning of the stream; more than `size` bytes if they come in one piece."""
    head = b""
    while len(head) < size and (piece := stream.read(_INPUT)):
        head += piece
    return head


def _plain(stream: Readable, head: bytes) -> Iterator[bytes]:
    while head:
        for start in range(0, len(head), CHUNK):
            yield head[start : start + CHUNK]
        head = stream.read(CHUNK)


class _Decoder(Protocol):
    """One compressed member."""

    def decode(self, data: bytes) -> bytes:
        """At most CHUNK bytes; call with b"" while `pending`."""

    @property
    def pending(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...


class _Zlib:
    """zlib hands back the input it did not get to; the decoders in `_Block` keep it."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP)

    def decode(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, CHUNK)

    @property
    def pending(self) -> bool:
        return bool(self._inner.unconsumed_tail)

    @property
    def finished(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data


class _Block:
    """bz2's and lzma's decompressors, which share one interface."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def decode(self, data: bytes) -> bytes:
        decoded: bytes = self._inner.decompress(data, CHUNK)
        return decoded

    @property
    def pending(self) -> bool:
        return not self._inner.eof and not self._inner.needs_input

    @property
    def finished(self) -> bool:
        return bool(self._inner.eof)

    @property
    def rest(self) -> bytes:
        return bytes(self._inner.unused_data)


def _gzip_decoder() -> _Decoder:
    return _Zlib()


def _xz_decoder() -> _Decoder:
    return _Block(lzma.LZMADecompressor(memlimit=_XZ_MEMORY))


def _bzip2_decoder() -> _Decoder:
    return _Block(bz2.BZ2Decompressor())


def _members(stream: Readable, data: bytes, start: Callable[[], _Decoder]) -> Iterator[bytes]:
    decoder = start()
    while True:
        try:
            chunk = decoder.decode(data)
        except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
            raise InvalidInput(f"the compressed stream is damaged: {error}") from None
        if chunk:
            yield chunk
        if decoder.finished:
            # zeros after the last member are padding (tapes, and some registries)
            data = decoder.rest.lstrip(b"\0") or stream.read(_INPUT).lstrip(b"\0")
            if not data:
                return
            decoder = start()
        elif decoder.pending:
            data = b""
        elif not (data := stream.read(_INPUT)):
            raise InvalidInput("the compressed stream ends early")


def _zstd(stream: Readable, head: bytes) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise Unsupported(
            "this layer is compressed with zstd", hint="pip install zstandard"
        ) from None
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        source: Any = _Rejoined(head, stream)
        with decoder.stream_reader(source, read_across_frames=True, closefd=False) as reader:
            while chunk := reader.read(CHUNK):
                yield chunk
    except zstandard.ZstdError as error:
        raise InvalidInput(f"the compressed stream is damaged: {error}") from None


class _Rejoined:
    """`head` and then the rest of the stream it was read from."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._stream.read(size)
        piece = self._head if size < 0 else self._head[:size]
        self._head = self._head[len(piece) :]
        return piece
