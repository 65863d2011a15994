"""The log file: one JSON object a line, `{"log", "stream", "attrs", "time"}`, as Docker writes it.

Lines longer than 16 KiB are cut into pieces without a newline, which a reader joins again. A full
file is renamed to `.1`, that one to `.2` and so on; nothing is written to a file that has been
renamed. With `compress` a process of its own replaces it by `.1.gz`. A program may write 100 MB/s,
so nothing here is done line by line: a block of whole lines becomes its JSON by a few calls that
run in C.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from itertools import pairwise
from typing import Final

from dockmagic_runtime.supervisor.logs.settings import LogFile

PIECE: Final = 16 * 1024
_ENDINGS: Final = ("", ".gz")
_BEGIN: Final = b'{"log":"'
_ESCAPES: Final = {
    **{byte: rb"\u%04x" % byte for byte in range(0x20) if byte != 0x0A},
    ord("\t"): rb"\t",
    ord("\r"): rb"\r",
    ord('"'): rb"\"",
    ord("\\"): rb"\\",
}
_PLAIN: Final = bytes(byte for byte in range(256) if byte not in _ESCAPES)
# a full disk, or the directory of a container that is being removed: the program goes on
_BEYOND_US: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOENT)


class JsonLog:
    """Appends to the log file. Each stream keeps its unfinished line until the rest comes."""

    __slots__ = (
        "_attributes",
        "_compressor",
        "_fd",
        "_is_torn",
        "_kept",
        "_path",
        "_pending",
        "_size",
    )
    is_behind = False  # a write does not return before the kernel has taken it

    def __init__(self, path: str, kept: LogFile | None = None) -> None:
        self._path = path
        self._kept = kept or LogFile()
        self._attributes = _attributes(self._kept.attributes)
        self._compressor = 0  # a pid
        self._pending: dict[str, bytes] = {}
        self._is_torn = False
        self._open(path)

    def _open(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    def write(self, stream: str, data: bytes) -> None:
        """Log what the program has just written to its standard output or standard error."""
        if rest := self._pending.pop(stream, b""):
            data = rest + data
        blocks, rest = _blocks(data)
        if rest:
            self._pending[stream] = rest
        if blocks:
            now = timestamp(time.time_ns())
            for block in blocks:
                self._put(self._encode(block, stream, now))

    def flush(self) -> None:
        """Write what has no newline yet, as Docker does when the program ends."""
        for stream, rest in self._pending.items():
            self._put(self._encode(rest, stream, timestamp(time.time_ns())))
        self._pending.clear()

    def close(self) -> None:
        self.flush()
        os.close(self._fd)
        if self._compressor:
            os.waitpid(self._compressor, 0)
            self._compressor = 0

    def _encode(self, block: bytes, stream: str, now: str) -> bytes:
        """The lines of JSON for a block."""
        end = f'","stream":"{stream}",{self._attributes}"time":"{now}"}}\n'.encode()
        text = _escaped(block)
        if not text.endswith(b"\n"):
            return b"".join((_BEGIN, text, end))
        between = b"\\n" + end + _BEGIN
        return b"".join((_BEGIN, text[:-1].replace(b"\n", between), b"\\n", end))

    def _put(self, lines: bytes) -> None:
        limit, start = self._kept.max_size, 0
        while start < len(lines):
            end = len(lines)
            if limit:
                if self._size >= limit:
                    self._rotate()
                if self._size + end - start > limit:  # the line that reaches it is the last one
                    end = lines.find(b"\n", start + max(limit - self._size - 1, 0)) + 1
            self._write(lines[start:end])
            start = end

    def _write(self, lines: bytes) -> None:
        if self._is_torn:
            lines = b"\n" + lines
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._fd, lines[done:])
        except OSError as error:
            if error.errno not in _BEYOND_US:
                raise
        self._is_torn = done < len(lines) and (done > 0 or self._is_torn)
        self._size += done

    def _rotate(self) -> None:
        """Begin a new file; what was in the oldest one goes."""
        full, size = self._fd, self._size
        self._stop_compressor()
        try:
            self._open(f"{self._path}.new")  # first: if this fails, nothing has happened
            self._shift()
            os.rename(f"{self._path}.new", self._path)
        except OSError as error:
            if error.errno not in _BEYOND_US:
                raise
            if self._fd != full:
                os.close(self._fd)
            self._fd, self._size = full, size
        else:
            os.close(full)
            if self._kept.compress:
                self._compress()

    def _shift(self) -> None:
        """Every file gets the next number. With one file only, a reader keeps it by having it."""
        names = [self._path, *(f"{self._path}.{n}" for n in range(1, self._kept.max_file))]
        for old, new in reversed(list(pairwise(names))):
            for ending in _ENDINGS:  # a file may be compressed or not, never both
                try:
                    os.rename(f"{old}{ending}", f"{new}{ending}")
                except FileNotFoundError:
                    continue  # there are not so many yet
                for other in set(_ENDINGS) - {ending}:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{new}{other}")

    def _compress(self) -> None:
        names = [f"{self._path}.{number}" for number in range(1, self._kept.max_file)]
        self._compressor = os.fork()
        if self._compressor == 0:
            try:
                from dockmagic_runtime.supervisor.logs.compress import compress

                for name in names:
                    compress(name)
            finally:
                os._exit(0)

    def _stop_compressor(self) -> None:
        """One that is late: the next one compresses what it has left."""
        if self._compressor:
            os.kill(self._compressor, signal.SIGKILL)
            os.waitpid(self._compressor, 0)
            self._compressor = 0


def _blocks(data: bytes) -> tuple[list[bytes], bytes]:
    """Blocks of at most 16 KiB, and what is left without a newline.

    A block is whole lines, or a piece of a line that is longer than a block.
    """
    blocks: list[bytes] = []
    start = 0
    while True:
        end = data.rfind(b"\n", start, start + PIECE) + 1
        if not end:
            if len(data) - start <= PIECE:
                return blocks, data[start:]
            end = _cut(data, start + PIECE)
        blocks.append(data[start:end])
        start = end


def _cut(data: bytes, end: int) -> int:
    """`end`, or a little before it when a character of UTF-8 lies across."""
    for at in range(end, end - 4, -1):
        if data[at] & 0xC0 != 0x80:
            return at
    return end


def _escaped(block: bytes) -> bytes:
    """As inside a JSON string, in UTF-8, but for the newlines, which stay."""
    if not block.isascii():
        block = block.decode("utf-8", "replace").encode()
    special = set(block.translate(None, _PLAIN))
    for byte in sorted(special, key=lambda byte: byte != 0x5C):  # backslashes before we add some
        block = block.replace(bytes((byte,)), _ESCAPES[byte])
    return block


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nine digits and Z, Docker's form."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def _attributes(attributes: dict[str, str]) -> str:
    if not attributes:
        return ""
    import json  # `logs` reads the files of most containers without it

    text = json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))
    return f'"attrs":{text},'
