"""The numbers of tar headers, and PAX extended headers: `length key=value\\n`, strictly read.

Source: pax(1), "pax Extended Header"; `SCHILY.xattr.` is star's, which Docker and OCI use.
"""

from __future__ import annotations

import os
import re
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.tar.entry import TarEntry

XATTR: Final = "SCHILY.xattr."
_MAX_ID: Final = 2**32 - 2  # -1 means "leave it" to chown(2)
_NAMES: Final = ("path", "linkpath")
_TIME = re.compile(rb"(-?)(\d{1,12})(?:\.(\d*))?")
_DIGITS = re.compile(rb"\d{1,19}")


def records(data: bytes) -> dict[str, bytes]:
    """The records of one extended header."""
    values: dict[str, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        if not position < space < end <= len(data) or data[end - 1] != 0x0A:
            raise InvalidInput("the archive is damaged: a malformed extended header")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise InvalidInput("the archive is damaged: a malformed extended header")
        values[os.fsdecode(key)] = value
        position = end
    return values


def record(key: str, value: bytes) -> bytes:
    """One record; its length counts the digits of its length."""
    rest = b" " + os.fsencode(key) + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) > length:
        length += 1
    return str(length).encode() + rest


def xattr_key(name: str) -> str:
    """The key of an extended attribute; `=`, which ends a key, is written as GNU tar does."""
    return XATTR + name.replace("%", "%25").replace("=", "%3D")


def _decoded(name: str) -> str:
    return name.replace("%3D", "=").replace("%25", "%") if "%" in name else name


def integer(value: bytes) -> int:
    if not _DIGITS.fullmatch(value):
        raise InvalidInput(f"the archive is damaged: {value!r} is no number")
    return int(value)


def apply(values: dict[str, bytes], entry: TarEntry) -> None:
    """Let the records override what the header says. Empty values mean "as in the header"."""
    for key, value in values.items():
        if key.startswith(XATTR):
            entry.xattrs[_decoded(key.removeprefix(XATTR))] = value
        elif value and key in _NAMES:
            if b"\0" in value:
                raise InvalidInput("the archive is damaged: a name contains a NUL byte")
            setattr(entry, "name" if key == "path" else "link", os.fsdecode(value))
        elif value and key in ("size", "uid", "gid"):
            setattr(entry, key, integer(value))
        elif value and key == "mtime":
            entry.mtime_ns = _nanoseconds(value)
    if max(entry.uid, entry.gid) > _MAX_ID:
        raise InvalidInput(f"{entry.name!r} in the layer has an owner beyond {_MAX_ID}")


def _nanoseconds(value: bytes) -> int:
    match = _TIME.fullmatch(value)
    if not match:
        raise InvalidInput(f"the archive is damaged: {value!r} is no time")
    sign, seconds, fraction = match.groups()
    total = int(seconds) * 1_000_000_000 + int((fraction or b"")[:9].ljust(9, b"0"))
    return -total if sign else total


def number(text: bytes, *, signed: bool = False) -> int:
    """A header's number: octal digits, or base 256 with the first bit set."""
    if text[0] & 0x80:
        # seven bits and a sign in the first byte, two's complement
        value = int.from_bytes(text, "big", signed=text[0] == 0xFF)
        value = value if text[0] == 0xFF else value & ~(0x80 << 8 * (len(text) - 1))
        if value >= 0 or signed:
            return value
        raise InvalidInput("the archive is damaged: a number is negative")
    digits = text.split(b"\0", 1)[0].strip()
    try:
        return int(digits, 8) if digits.isdigit() else _no_number(digits)
    except ValueError:
        return _no_number(digits)


def _no_number(digits: bytes) -> int:
    if digits:
        raise InvalidInput(f"the archive is damaged: {digits!r} is no octal number")
    return 0
