"""Command lines as Docker reads them: declared flags in, typed arguments out.

Docker's grammar is that of Go's pflag, which argparse cannot be made to speak: a switch takes a
value only behind `=` (`--rm=false`, never `--rm false`), short flags combine and carry a value
(`-dit`, `-p9999:80`), names are never abbreviated, and `run`, `exec` and `create` stop reading
flags at the first positional word. So flags are declared as data here; help, completion and
suggestions are drawn from the same declarations. Reading a line has no effect: all that can be
wrong with it is raised as `WrongUsage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, field

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.go_values import parse_bool, parse_int, parse_uint
from dockmagic_runtime.model.suggest import did_you_mean


class WrongUsage(InvalidInput):
    """The line itself is wrong: an unknown flag, a missing value, too many words.

    `exit_code` is 125 for a flag and 1 for the number of arguments, as with Docker's client.
    """

    def __init__(self, message: str, *, verb: str, hint: str = "", exit_code: int = 125) -> None:
        see = f"See 'docker {verb} --help'."
        super().__init__(message, hint=f"{hint} {see}" if hint else see)
        self.exit_code = exit_code
        self.verb = verb


class HelpAsked(Exception):
    """`--help` was among the flags: not a mistake, and nothing is to be run."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def as_int(text: str) -> int:
    """As pflag reads an integer: in the base that its prefix says."""
    return parse_int(text, 0)


def as_uint16(text: str) -> int:
    return parse_uint(text, 0, 16)


class Flag(Struct, frozen=True, kw_only=True):
    """One flag. `convert` turns its text into a value or raises ValueError with the reason.

    `type` is the word that help shows; a switch has none. Of Docker's flags, a `planned` one is
    still to come, and an `unsupported` one (with the reason) never will: both are known, so that
    a line with one of them ends with an error instead of being misread.
    """

    name: str
    short: str = ""
    type: str = ""
    help: str = ""
    default: Any = None
    many: bool = False
    convert: Callable[[str], Any] = str
    planned: bool = False
    unsupported: str = ""

    @property
    def is_ours(self) -> bool:
        return not self.planned and not self.unsupported

    @property
    def takes_value(self) -> bool:
        return bool(self.type)

    @property
    def label(self) -> str:
        """As Docker names it in errors: `-p, --publish`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def switch(name: str, short: str = "", help: str = "", *, default: bool = False) -> Flag:
    return Flag(name=name, short=short, help=help, default=default, convert=parse_bool)


def value(
    name: str,
    short: str = "",
    help: str = "",
    *,
    type: str = "string",
    default: Any = "",
    convert: Callable[[str], Any] = str,
) -> Flag:
    return Flag(name=name, short=short, type=type, help=help, default=default, convert=convert)


def values(
    name: str,
    short: str = "",
    help: str = "",
    *,
    type: str = "list",
    convert: Callable[[str], Any] = str,
) -> Flag:
    return Flag(
        name=name, short=short, type=type, help=help, default=(), many=True, convert=convert
    )


def integer(name: str, short: str = "", help: str = "", *, default: int = 0) -> Flag:
    return value(name, short, help, type="int", default=default, convert=as_int)


def planned(*labels: str) -> tuple[Flag, ...]:
    """Docker's flags that are still to come, written `name`, `name=type` or `s/name=type`."""
    return tuple(_planned(label) for label in labels)


def _planned(label: str, **more: Any) -> Flag:
    names, _, type = label.partition("=")
    short, _, name = names.rpartition("/")
    return Flag(name=name, short=short, type=type, **(more or {"planned": True}))


def unsupported(reason: str, *labels: str, convert: Callable[[str], Any] = str) -> tuple[Flag, ...]:
    """Docker's flags that cannot be: `reason` is a sentence about the flag, and what to do.

    `convert` may still find fault with the text, or accept it by returning None.
    """
    return tuple(_planned(label, unsupported=reason, convert=convert) for label in labels)


class Arguments(Struct, frozen=True):
    """What a line said. `flag("name")` is its value or its default, `words` what is no flag."""

    verb: str
    words: tuple[str, ...]
    values: dict[str, Any]
    given: frozenset[str] = frozenset()

    def flag(self, name: str) -> Any:
        return self.values[name]

    def is_given(self, name: str) -> bool:
        return name in self.given

    def wrong(self, message: str, *, hint: str = "", exit_code: int = 125) -> WrongUsage:
        """The error for a line whose flags contradict one another."""
        return WrongUsage(message, verb=self.verb, hint=hint, exit_code=exit_code)


class Parser(Struct, frozen=True, kw_only=True):
    """One verb's grammar. `stops_at_word` ends the flags at the first positional word."""

    verb: str
    usage: str
    summary: str
    flags: tuple[Flag, ...] = ()
    minimum: int = 0
    maximum: int | None = None
    stops_at_word: bool = False
    instead_of_word: str = ""  # a flag that, when given, takes the place of the first word
    also: str = ""  # a paragraph below the flags in the help

    def parse(self, words: Sequence[str]) -> Arguments:
        """Read the words behind the verb. Raises WrongUsage, Unsupported or HelpAsked."""
        reading = _Reading(self, list(words))
        reading.run()
        count = len(reading.words) + (self.instead_of_word in reading.found)
        self._check_count(count, reading.eaten)
        defaults = {flag.name: flag.default for flag in self.flags}
        return Arguments(
            self.verb,
            tuple(reading.words),
            defaults | {name: _frozen(found) for name, found in reading.found.items()},
            frozenset(reading.found),
        )

    def find(self, name: str) -> Flag | None:
        return next((flag for flag in self.flags if flag.name == name), None)

    def find_short(self, short: str) -> Flag | None:
        return next((flag for flag in self.flags if flag.short == short), None)

    def wrong(self, message: str, *, hint: str = "", exit_code: int = 125) -> WrongUsage:
        return WrongUsage(message, verb=self.verb, hint=hint, exit_code=exit_code)

    def help(self, program: str = "docker") -> str:
        """The text of `--help`."""
        lines = ["", f"Usage:  {program} {self.verb} {self.usage}".rstrip(), "", self.summary]
        shown = sorted((f for f in self.flags if f.is_ours), key=lambda f: f.name)
        if shown:
            lines += ["", "Options:", *_columns(shown)]
        for heading, found in (
            ("Docker's, not supported yet:", [f.name for f in self.flags if f.planned]),
            ("Docker's, not available here:", [f.name for f in self.flags if f.unsupported]),
        ):
            lines += ["", heading, *_wrapped(sorted(found))] if found else []
        if self.also:
            lines += ["", self.also]
        return "\n".join(lines)

    def _check_count(self, count: int, eaten: str) -> None:
        wanted = self._complaint(count)
        if wanted:
            hint = eaten if eaten and count < self.minimum else self._usage_hint
            raise self.wrong(f"'docker {self.verb}' {wanted}", hint=hint, exit_code=1)

    def _complaint(self, count: int) -> str:
        if self.maximum == 0 and count:
            return "accepts no arguments"
        if self.minimum <= count <= (count if self.maximum is None else self.maximum):
            return ""
        if self.maximum and 0 < self.minimum < self.maximum:
            return f"requires at least {self.minimum} and at most {_arguments(self.maximum)}"
        if self.minimum == self.maximum:
            return f"requires {_arguments(self.minimum)}"
        if count < self.minimum:
            return f"requires at least {_arguments(self.minimum)}"
        return f"requires at most {_arguments(self.maximum or 0)}"

    @property
    def _usage_hint(self) -> str:
        return f"Usage: docker {self.verb} {self.usage}."


class _Reading(Struct):
    """The state of one pass over a line: what is left, what was found."""

    parser: Parser
    rest: list[str]
    words: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    eaten: str = ""  # about the last word, if a flag took it for its value

    def run(self) -> None:
        while self.rest:
            word = self.rest.pop(0)
            self._note_last(word)
            if word == "--":
                return self._take_rest()
            if word.startswith("--"):
                self._long(word[2:])
            elif word.startswith("-") and word != "-":
                self._short(word[1:], word)
            else:
                self.words.append(word)
                if self.parser.stops_at_word:
                    return self._take_rest()
        return None

    def _note_last(self, word: str) -> None:
        """`run -p busybox`: where words are missing later, this one went to the flag before it."""
        if len(self.rest) == 1 and word.startswith("-") and "=" not in word:
            self.eaten = f"'{word}' took '{self.rest[0]}' for its value."

    def _take_rest(self) -> None:
        self.words += self.rest
        self.rest = []

    def _long(self, text: str) -> None:
        name, equals, attached = text.partition("=")
        if not name:
            raise self.parser.wrong(f"bad flag syntax: --{text}")
        flag = self.parser.find(name)
        if flag is None:
            self._unknown(name)
        elif equals:
            self._store(flag, attached)
        elif not flag.takes_value:
            self._store(flag, "true")
        elif self.rest:
            self._store(flag, self.rest.pop(0))
        else:
            raise self.parser.wrong(f"flag needs an argument: --{name}")

    def _short(self, letters: str, word: str) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self.parser.find_short(letter)
            if flag is None:
                self._unknown_short(letter, word)
            elif letters.startswith("="):
                return self._store(flag, letters[1:])
            elif not flag.takes_value:
                self._store(flag, "true")
            elif letters:
                return self._store(flag, letters)
            elif self.rest:
                return self._store(flag, self.rest.pop(0))
            else:
                raise self.parser.wrong(f"flag needs an argument: '{letter}' in {word}")
        return None

    def _unknown(self, name: str) -> None:
        if name == "help":
            raise HelpAsked(self.parser.help())
        known = [flag.name for flag in self.parser.flags]
        hint = did_you_mean(name, known, prefix="--")
        raise self.parser.wrong(f"unknown flag: --{name}", hint=hint)

    def _unknown_short(self, letter: str, word: str) -> None:
        if letter == "h":
            raise HelpAsked(self.parser.help())
        raise self.parser.wrong(f"unknown shorthand flag: '{letter}' in {word}")

    def _store(self, flag: Flag, text: str) -> None:
        if flag.planned:
            raise Unsupported(
                f"the flag --{flag.name} of 'docker {self.parser.verb}' is not supported yet",
                hint=f"See 'docker {self.parser.verb} --help' for those that are.",
            )
        try:
            found = flag.convert(text)
        except ValueError as error:
            message = f'invalid argument "{text}" for "{flag.label}" flag: {error}'
            raise self.parser.wrong(message) from None
        if flag.unsupported:
            if found is None:
                return
            asked = f"--{flag.name} {text}" if flag.takes_value else f"--{flag.name}"
            raise Unsupported(f"{asked}: {flag.unsupported}")
        if flag.many:
            self.found.setdefault(flag.name, []).append(found)
        else:
            self.found[flag.name] = found


def _frozen(found: Any) -> Any:
    return tuple(found) if isinstance(found, list) else found


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


def _columns(flags: Sequence[Flag]) -> list[str]:
    left = [_left(flag) for flag in flags]
    width = min(34, max(map(len, left)))
    return [
        f"{text:<{width}}   {flag.help}".rstrip() for text, flag in zip(left, flags, strict=True)
    ]


def _left(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"  {short}--{flag.name} {flag.type}".rstrip()


def _wrapped(names: list[str], width: int = 78) -> list[str]:
    lines = [" "]
    for name in names:
        piece = f" --{name}"
        if len(lines[-1]) + len(piece) > width:
            lines.append(" ")
        lines[-1] += piece
    return lines
