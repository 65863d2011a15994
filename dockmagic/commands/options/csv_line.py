"""One line of comma-separated values, as Go's encoding/csv reads `--mount` and its like."""

from __future__ import annotations

_BARE = 'bare " in non-quoted-field'
_QUOTE = 'extraneous or missing " in quoted-field'


def fields(text: str) -> list[str]:
    """The fields of the first line. Raises ValueError in Go's words; an empty text is an error."""
    line = text.lstrip("\r\n")
    if not line:
        raise ValueError("EOF")
    result: list[str] = []
    at = 0
    while True:
        field, at = _quoted(line, at) if line[at : at + 1] == '"' else _plain(line, at)
        result.append(field)
        if line[at : at + 1] != ",":
            return result
        at += 1


def _plain(line: str, at: int) -> tuple[str, int]:
    end = next((i for i in range(at, len(line)) if line[i] in ",\n"), len(line))
    quote = line.find('"', at, end)
    if quote >= 0:
        raise _error(line, quote, _BARE)
    return line[at:end].removesuffix("\r"), end


def _quoted(line: str, at: int) -> tuple[str, int]:
    """The field that begins at a quote; two quotes in it stand for one."""
    parts: list[str] = []
    while True:
        end = line.find('"', at + 1)
        if end < 0:
            raise _error(line, len(line), _QUOTE)
        parts.append(line[at + 1 : end])
        after = line[end + 1 : end + 2]
        if after != '"':
            break
        at = end + 1
    if after not in ("", ",", "\n"):
        raise _error(line, end, _QUOTE)
    return '"'.join(parts), end + 1


def _error(line: str, at: int, reason: str) -> ValueError:
    column = len(line[:at].encode("utf-8", "surrogateescape")) + 1
    return ValueError(f"parse error on line 1, column {column}: {reason}")
