"""The log of a container: one JSON object a line, `{"log", "stream", "time"}`, as Docker writes it.

Lines longer than 16 KiB are cut into pieces without a newline, which a reader joins again. A full
file is renamed to `.1`, that one to `.2` and so on; nothing is written to a file that has been
renamed. A program may write 100 MB/s, so nothing here is done line by line: a block of whole lines
becomes its JSON by a few calls that run in C.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput, Unsupported

PIECE: Final = 16 * 1024
DRIVERS: Final = ("json-file", "local", "none")
_SUPPORTED: Final = ("max-size", "max-file")
# what Docker has besides: other drivers, and other options of ours
_ELSEWHERE: Final = frozenset("awslogs etwlogs fluentd gcplogs gelf journald splunk syslog".split())
_DOCKERS: Final = frozenset("compress env env-regex labels labels-regex tag".split())
_MODES: Final = frozenset(["mode", "max-buffer-size"])
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_UNITS: Final = {unit: 1000**power for power, unit in enumerate(("", "k", "m", "g", "t", "p"))}

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


class LogOptions(Struct, frozen=True):
    """`max_size` is in bytes, 0 for no limit; `max_file` counts the file that is written too."""

    max_size: int = 0
    max_file: int = 1


def log_options(driver: str, options: Mapping[str, str]) -> LogOptions:
    """What `--log-driver` and `--log-opt` ask for.

    Raises InvalidInput in Docker's words, Unsupported for what only Docker has.
    """
    _check_driver(driver)
    if driver == "none":
        if options:
            raise InvalidInput("invalid logging opts for driver none")
        return LogOptions()
    for name in options:
        _check_option(driver, name)
    default = LogOptions(20_000_000, 5) if driver == "local" else LogOptions()
    return LogOptions(
        _max_size(options["max-size"]) if "max-size" in options else default.max_size,
        _max_file(options["max-file"]) if "max-file" in options else default.max_file,
    )


def _check_driver(driver: str) -> None:
    if driver in _ELSEWHERE:
        raise Unsupported(
            f"the log driver '{driver}' is not supported", hint=f"{', '.join(DRIVERS)} are"
        )
    if driver not in DRIVERS:
        raise InvalidInput(
            f"logger: no log driver named '{driver}' is registered", hint=", ".join(DRIVERS)
        )


def _check_option(driver: str, name: str) -> None:
    if name in _SUPPORTED:
        return
    if name in _DOCKERS or name in _MODES:
        raise Unsupported(
            f"the log option '{name}' is not supported", hint=f"{' and '.join(_SUPPORTED)} are"
        )
    where = "for log driver local" if driver == "local" else "for json-file log driver"
    raise InvalidInput(f"unknown log opt '{name}' {where}")


def _max_size(text: str) -> int:
    """`10m` is ten million bytes, as in Docker."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"invalid value for max-size: {text}: invalid size: '{text}'")
    size = int(float(match[1]) * _UNITS[match[2].lower()])
    if size <= 0:
        raise InvalidInput("max-size must be a positive number")
    return size


def _max_file(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise InvalidInput(f'invalid value for max-file: strconv.Atoi: parsing "{text}"')
    if int(text) < 1:
        raise InvalidInput("max-file cannot be less than 1")
    return int(text)


def open_log(driver: str, options: Mapping[str, str], path: str) -> JsonLog | None:
    """Where a container's output goes, appending to what is there; None for the driver `none`."""
    asked = log_options(driver, options)
    return None if driver == "none" else JsonLog(path, asked)


class JsonLog:
    """Appends to the log file. Each stream keeps its unfinished line until the rest comes."""

    __slots__ = ("_fd", "_is_torn", "_options", "_path", "_pending", "_size")

    def __init__(self, path: str, options: LogOptions | None = None) -> None:
        self._path = path
        self._options = options or LogOptions()
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
                self._put(_encode(block, stream, now))

    def flush(self) -> None:
        """Write what has no newline yet, as Docker does when the program ends."""
        for stream, rest in self._pending.items():
            self._put(_encode(rest, stream, timestamp(time.time_ns())))
        self._pending.clear()

    def close(self) -> None:
        self.flush()
        os.close(self._fd)

    def _put(self, lines: bytes) -> None:
        limit, start = self._options.max_size, 0
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

    def _shift(self) -> None:
        """Every file gets the next number. With one file only, a reader keeps it by having it."""
        names = [self._path, *(f"{self._path}.{n}" for n in range(1, self._options.max_file))]
        for old, new in reversed(list(pairwise(names))):
            try:
                os.rename(old, new)
            except FileNotFoundError:
                continue  # there are not so many yet


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


def _encode(block: bytes, stream: str, now: str) -> bytes:
    """The lines of JSON for a block."""
    end = f'","stream":"{stream}","time":"{now}"}}\n'.encode()
    text = _escaped(block)
    if not text.endswith(b"\n"):
        return b"".join((_BEGIN, text, end))
    between = b"\\n" + end + _BEGIN
    return b"".join((_BEGIN, text[:-1].replace(b"\n", between), b"\\n", end))


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
