"""The grammar of `WWW-Authenticate` (RFC 9110, section 11.6.1): text in, challenges out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

from msgspec import Struct, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
# a scheme's name stands alone or before its first parameter; a parameter's is followed by `=`
_SCHEME = re.compile(rf"({_TOKEN})(?=[ \t]*(?:,|$)|[ \t]+[^ \t=])")
_TOKEN68 = re.compile(r"[0-9A-Za-z._~+/-]+=*(?=[ \t]*(?:,|$))")
_BLANKS = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"[ \t,]*")


class Challenge(Struct, frozen=True):
    """One way to authenticate that a server offers. `scheme` and keys are in lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of some headers; what cannot be read ends its header."""
    return tuple(chain.from_iterable(map(_parse, headers)))


def _parse(header: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    position = _after(_BETWEEN, header, 0)
    while position < len(header):
        if parameter := _PARAMETER.match(header, position):
            if not challenges:
                break
            key, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            challenges[-1].parameters[key.lower()] = value
            position = parameter.end()
        elif scheme := _SCHEME.match(header, position):
            challenges.append(Challenge(scheme[1].lower()))
            position = _after(_BLANKS, header, scheme.end())
            if not _PARAMETER.match(header, position):
                position = _after(_TOKEN68, header, position)
        else:
            break
        position = _after(_BETWEEN, header, position)
    return challenges


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position
