"""Literals of a template: strings, characters and numbers, as strconv reads them."""

from __future__ import annotations

import re
from typing import Final

from dockmagic_runtime.model.go_values import quote

_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
}  # fmt: skip
_HEX: Final = {"x": 2, "u": 4, "U": 8}
_ESCAPE: Final = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|[abfnrtv\\'\"])"
)
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?")


def unquote(text: str) -> str:
    """`strconv.Unquote` of a string, a raw string or a character. Raises ValueError."""
    mark, body = text[0], text[1:-1]
    if mark == "`":
        return body.replace("\r", "")
    data = b""
    at = 0
    while at < len(body):
        if body[at] != "\\":
            data += body[at].encode("utf-8", "surrogateescape")
            at += 1
            continue
        match = _ESCAPE.match(body, at)
        if match is None or match[0][1:] == ("'" if mark == '"' else '"'):
            raise ValueError("invalid syntax")
        data += _unescaped(match[0][1:])
        at = match.end()
    return data.decode("utf-8", "surrogateescape")


def _unescaped(escape: str) -> bytes:
    kind = escape[0]
    if kind in "01234567":
        code = int(escape, 8)
        if code > 255:
            raise ValueError("invalid syntax")
        return bytes([code])
    if kind == "x":
        return bytes([int(escape[1:], 16)])
    if kind in _HEX:
        code = int(escape[1:], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError("invalid syntax")
        return chr(code).encode()
    return _ESCAPES.get(kind, kind).encode()


def number(text: str) -> int | float:
    """The constant: an int where it is one, as `1.0` and `1e3` are not. Raises ValueError."""
    if text[0] == "'":
        character = unquote(text)
        if len(character) != 1:
            raise ValueError(f"malformed character constant: {text}")
        return ord(character)
    try:
        return _integer(text)
    except ValueError:
        pass
    try:
        value = _float(text)
    except ValueError:
        raise ValueError(f"illegal number syntax: {quote(text)}") from None
    if not set(".eEpP") & set(text):
        raise ValueError(f"integer overflow: {quote(text)}")
    return value


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if re.fullmatch(r"0[0-7_]+", digits):
        digits = f"0o{digits[1:]}"
    value = int(digits, 0)
    value = -value if text.startswith("-") else value
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(text)
    return value


def _float(text: str) -> float:
    if "x" in text.lower():
        return float.fromhex(text)
    if not _DECIMAL.fullmatch(text):
        raise ValueError(text)
    return float(text)
