"""Reads the words of a line by a verb's grammar, as Go's pflag does.

Reading has no effect: all that can be wrong with a line is raised as `WrongUsage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from dockmagic.commands.options.csv_line import fields
from dockmagic.commands.options.flags import HELP, Arguments, Flag, HelpAsked, Parser, WrongUsage
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.model.go_values import quote
from dockmagic_runtime.model.suggest import did_you_mean


def read(parser: Parser, words: Sequence[str]) -> Arguments:
    """The arguments behind the verb. Raises WrongUsage, Unsupported or HelpAsked."""
    if parser.is_passed_on:
        return Arguments(
            verb=parser.verb, words=tuple(words), values={}, given=frozenset(), form=parser.name
        )
    reading = Reading(parser, list(words))
    reading.run()
    if reading.help_asked:
        from dockmagic.commands.help import verb_help  # only a line that asks for it needs it

        raise HelpAsked("\n".join([*reading.notices, verb_help(parser)]))
    count = len(reading.words) + (parser.instead_of_word in reading.values)
    _check_count(parser, count, reading.eaten)
    return Arguments(
        verb=parser.verb,
        words=tuple(reading.words),
        values={flag.name: flag.default for flag in parser.flags} | _frozen(reading.values),
        given=frozenset(reading.values),
        form=parser.name,
        notices=tuple(reading.notices),
    )


class Reading(Struct):
    """The state of one pass over a line: the words that are left, the values so far."""

    parser: Parser
    rest: list[str]
    words: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    help_asked: bool = False
    eaten: str = ""  # about the last word, if a flag took it for its value

    def run(self) -> None:
        while self.rest:
            word = self.rest.pop(0)
            self._note_last(word)
            if word == "--":
                return self._take_rest()
            if word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._short(word)
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

    def _long(self, word: str) -> None:
        name, equals, attached = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise self.parser.wrong(f"bad flag syntax: {word}")
        flag = self.parser.find(name)
        if flag is None:
            self._unknown(name, attached if equals else "true")
        elif equals:
            self._store(flag, attached)
        elif not flag.takes_value:
            self._store(flag, "true")
        elif self.rest:
            self._store(flag, self.rest.pop(0))
        else:
            raise self.parser.wrong(f"flag needs an argument: --{name}")

    def _short(self, word: str) -> None:
        letters = word[1:]
        while letters:
            rest = f"-{letters}"
            letter, letters = letters[0], letters[1:]
            flag = self.parser.find_short(letter)
            if flag is None:
                self._unknown_short(letter, rest)
            elif letters.startswith("=") and len(letters) > 1:
                return self._store(flag, letters[1:])
            elif not flag.takes_value:
                self._store(flag, "true")
            elif letters:
                return self._store(flag, letters)
            elif self.rest:
                return self._store(flag, self.rest.pop(0))
            else:
                raise self.parser.wrong(f"flag needs an argument: '{letter}' in {rest}")
        return None

    def _unknown(self, name: str, text: str) -> None:
        if name != "help":
            known = [flag.name for flag in self.parser.flags if not flag.hidden]
            hint = did_you_mean(name, known, prefix="--")
            raise self.parser.wrong(f"unknown flag: --{name}", hint=hint)
        self.help_asked = self._converted(HELP, text)

    def _unknown_short(self, letter: str, rest: str) -> None:
        if letter != "h":
            raise self.parser.wrong(f"unknown shorthand flag: '{letter}' in {rest}")
        self.help_asked = True
        self.notices.append("Flag shorthand -h has been deprecated, use --help")

    def _store(self, flag: Flag, text: str) -> None:
        if flag.planned:
            raise Unsupported(
                f"the flag --{flag.name} of 'docker {self.parser.name}' is not supported yet",
                hint=f"See 'docker {self.parser.name} --help' for those that are.",
            )
        if flag is HELP:
            self.help_asked = self._converted(flag, text)
            return
        for part in self._parts(flag, text):
            self._keep(flag, part)

    def _parts(self, flag: Flag, text: str) -> list[str]:
        """The texts of several values that are written as one."""
        if flag.type != "strings":
            return [text]
        try:
            return fields(text) if text else []
        except ValueError as error:
            raise self._invalid(flag, text, error) from None

    def _keep(self, flag: Flag, text: str) -> None:
        value = self._converted(flag, text)
        if flag.deprecated:
            self.notices.append(f"Flag --{flag.name} has been deprecated, {flag.deprecated}")
        if flag.unsupported:
            if value is None:
                return
            asked = f"--{flag.name} {text}" if flag.takes_value else f"--{flag.name}"
            raise Unsupported(f"{asked}: {flag.unsupported}")
        if flag.many:
            self.values.setdefault(flag.name, []).append(value)
        else:
            self.values[flag.name] = value

    def _converted(self, flag: Flag, text: str) -> Any:
        try:
            return flag.convert(text)
        except ValueError as error:
            raise self._invalid(flag, text, error) from None

    def _invalid(self, flag: Flag, text: str, error: ValueError) -> WrongUsage:
        return self.parser.wrong(f'invalid argument {quote(text)} for "{flag.label}" flag: {error}')


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def _check_count(parser: Parser, count: int, eaten: str) -> None:
    problem = _count_problem(parser, count)
    if problem:
        hint = eaten if eaten and count < parser.minimum else f"Usage: {parser.usage_line}."
        raise parser.wrong(f"'docker {parser.name}' {problem}", hint=hint, exit_code=1)


def _count_problem(parser: Parser, count: int) -> str:
    """What Docker says of a wrong number of words; empty if it is right."""
    minimum, maximum = parser.minimum, parser.maximum
    if maximum == 0 and count:
        return "accepts no arguments"
    if minimum <= count <= (count if maximum is None else maximum):
        return ""
    if maximum and 0 < minimum < maximum:
        return f"requires at least {minimum} and at most {_arguments(maximum)}"
    if minimum == maximum:
        return f"requires {_arguments(minimum)}"
    if count < minimum:
        return f"requires at least {_arguments(minimum)}"
    return f"requires at most {_arguments(maximum or 0)}"


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"
