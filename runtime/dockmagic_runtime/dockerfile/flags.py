"""The `--flags` between an instruction's keyword and its arguments."""

from __future__ import annotations

from msgspec import Struct, field

from dockmagic_runtime.dockerfile.errors import Refusal, near
from dockmagic_runtime.dockerfile.expand import ExpansionError, check, unquote
from dockmagic_runtime.dockerfile.words import Word, first_word, skip_blanks


class Flags(Struct):
    """Those given: each value as written, with its place."""

    escape: str
    given: dict[str, list[Word]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The raw value of a flag that may be given once; empty when it is not."""
        values = self.given.get(name)
        return values[0].text if values else ""

    def plain(self, name: str) -> str:
        """The same without quotes, for what knows no variables."""
        return unquote(self.text(name), self.escape)

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(value.text for value in self.given.get(name, ()))

    def words(self, name: str) -> list[Word]:
        return self.given.get(name, [])

    def offset(self, name: str) -> int:
        values = self.given.get(name)
        return values[0].offset if values else 0

    def switch(self, name: str) -> bool | None:
        """The value of an on/off flag; None when it is not given."""
        if name not in self.given:
            return None
        value = self.plain(name).lower()
        if value not in ("true", "false"):
            raise Refusal(
                f"expecting boolean value for flag {name}, not: {value}", self.offset(name)
            )
        return value == "true"


def read_flags(
    text: str, start: int, escape: str, *, once: tuple[str, ...], many: tuple[str, ...] = ()
) -> tuple[Flags, int]:
    """The flags from `start` on, and where the arguments begin.

    `once` and `many` name the flags the instruction has; a name with a "!" at its end is a switch.
    """
    switches = {name[:-1] for name in once if name.endswith("!")}
    single = {name.rstrip("!") for name in once}
    flags = Flags(escape)
    while text.startswith("--", start) and (word := first_word(text, start, escape)):
        start = skip_blanks(text, start + len(word.text))
        if word.text == "--":
            break
        name, equals, value = word.text[2:].partition("=")
        _check_name(name, word, (*sorted(single), *many))
        if name in single and name in flags.given:
            raise Refusal(f"Duplicate flag specified: {name}", word.offset)
        if not equals and name not in switches:
            raise Refusal(f"Missing a value on flag: {name}", word.offset)
        value_word = Word(value if equals else "true", word.offset + 2 + len(name) + len(equals))
        _check_value(value_word, escape)
        flags.given.setdefault(name, []).append(value_word)
    return flags, start


def _check_name(name: str, word: Word, known: tuple[str, ...]) -> None:
    if name not in known:
        suggestion = near(name, known)
        raise Refusal(
            f"unknown flag: --{name}", word.offset, f"--{suggestion}" if suggestion else ""
        )


def _check_value(word: Word, escape: str) -> None:
    try:
        check(word.text, escape)
    except ExpansionError as error:
        raise Refusal(error.message, word.offset + error.offset) from None
