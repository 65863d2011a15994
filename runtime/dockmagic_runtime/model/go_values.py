"""Booleans, integers and durations as Go's strconv and time packages read and write them.

Docker's flags, filters, labels and Dockerfiles hold these texts, and its error messages end with
the sentences of Go's parsers. All functions raise ValueError with that sentence.
"""

from __future__ import annotations

from typing import Final

_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_NANOSECONDS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
    "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_DIGITS: Final = "0123456789"
_LIMIT: Final = 1 << 63


def parse_bool(text: str) -> bool:
    """`strconv.ParseBool`."""
    value = _BOOLEANS.get(text)
    if value is None:
        raise _refused(text, "ParseBool", "invalid syntax")
    return value


def parse_int(text: str, base: int = 10) -> int:
    """`strconv.ParseInt` for 64 bits; base 0 reads `0x10`, `0b1`, `010` and `1_000` too."""
    return _integer(text, base, "ParseInt", -_LIMIT, _LIMIT)


def parse_uint(text: str, base: int = 10, bits: int = 64) -> int:
    """`strconv.ParseUint`."""
    return _integer(text, base, "ParseUint", 0, 1 << bits)


def _integer(text: str, base: int, function: str, low: int, high: int) -> int:
    digits = text[1:] if low and text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits[:1].isalnum() or (base and "_" in digits):
        raise _refused(text, function, "invalid syntax")
    if len(digits.strip("0")) > 80:  # Python's int() has a limit of its own
        raise _refused(text, function, "value out of range")
    if not base and digits[0] == "0" and digits[1:2] in set("_" + _DIGITS):
        digits = f"0o{digits[1:]}"
    try:
        number = int(digits, base)
    except ValueError:
        raise _refused(text, function, "invalid syntax") from None
    number = -number if text[0] == "-" else number
    if not low <= number < high:
        raise _refused(text, function, "value out of range")
    return number


def _refused(text: str, function: str, reason: str) -> ValueError:
    return ValueError(f"strconv.{function}: parsing {quote(text)}: {reason}")


def parse_duration(text: str) -> int:
    """`time.ParseDuration`: nanoseconds of `1h30m`, `1.5s`, `-5s`."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    invalid = ValueError(f"time: invalid duration {quote(text)}")
    if not rest:
        raise invalid
    total = 0
    while rest:
        nanoseconds, rest = _part(rest, text, invalid)
        total += nanoseconds
        if total > _LIMIT:
            raise invalid
    if text[0] == "-":
        return -total
    if total == _LIMIT:
        raise invalid
    return total


def _part(rest: str, text: str, invalid: ValueError) -> tuple[int, str]:
    """The nanoseconds of the first number with its unit, and what follows them."""
    whole = _leading(rest, _DIGITS)
    rest = rest[len(whole) :]
    fraction = ""
    if rest[:1] == ".":
        fraction = _leading(rest[1:], _DIGITS)
        rest = rest[1 + len(fraction) :]
    if (not whole and not fraction) or len(whole) > 19:
        raise invalid
    name = _unit(rest)
    if not name:
        raise ValueError(f"time: missing unit in duration {quote(text)}")
    unit = _NANOSECONDS.get(name)
    if unit is None:
        raise ValueError(f"time: unknown unit {quote(name)} in duration {quote(text)}")
    fraction = fraction[:18]  # Go drops the digits that do not fit
    return (
        int(whole or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction),
        rest[len(name) :],
    )


def _leading(text: str, alphabet: str) -> str:
    return text[: len(text) - len(text.lstrip(alphabet))]


def _unit(text: str) -> str:
    end = next((i for i, letter in enumerate(text) if letter in "." + _DIGITS), len(text))
    return text[:end]


def duration_text(nanoseconds: int) -> str:
    """`time.Duration.String`: `1h30m0s`, `1.5s`, `300ms`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, rest = divmod(rest, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _NANOSECONDS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(number: int, size: int) -> str:
    whole, rest = divmod(number, size)
    digits = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


_ESCAPES: Final = {
    '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t",
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v",
}  # fmt: skip


def quote(text: str) -> str:
    """`strconv.Quote`: in double quotes, with what cannot be printed spelled out."""
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python's surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
