"""Flags and grammars of verbs, declared as data.

Docker's grammar is that of Go's pflag, which argparse cannot be made to speak: a switch takes a
value only behind `=` (`--rm=false`, never `--rm false`), short flags combine and carry a value
(`-dit`, `-p9999:80`), names are never abbreviated, and `run`, `exec` and `create` stop reading
flags at the first positional word. So flags are declared as data here; reading a line
(`options/reading.py`), help, completion and suggestions are drawn from the same declarations.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from msgspec import Struct

from dockmagic.commands.usage import HelpAsked as HelpAsked
from dockmagic.commands.usage import WrongUsage as WrongUsage
from dockmagic_runtime.model.go_values import parse_bool, parse_int, parse_uint, quote


def as_int(text: str) -> int:
    """As pflag reads an integer: in the base that its prefix says."""
    return parse_int(text, 0)


def as_uint16(text: str) -> int:
    return parse_uint(text, 0, 16)


class Converter(Struct, frozen=True):
    """A function of a module, which is imported when a line has the flag.

    For flags with much code that most lines do not have: `run` has over a hundred flags.
    """

    module: str
    function: str

    def load(self) -> Callable[[str], Any]:
        convert: Callable[[str], Any] = getattr(import_module(self.module), self.function)
        return convert

    def __call__(self, text: str) -> Any:
        return self.load()(text)


class Flag(Struct, frozen=True, kw_only=True):
    """One flag. `convert` turns its text into a value or raises ValueError with the reason.

    `type` is the word that help shows; a switch has none. `default_text` is what help shows of a
    default, where it is not the default itself. Of Docker's flags, a `planned` one is still to
    come, and an `unsupported` one (with the reason) never will: both are known, so that a line
    with one of them ends with an error instead of being misread. Help does not show `hidden`
    flags, nor `deprecated` ones (with what to use instead). `own` flags are not Docker's.
    """

    name: str
    short: str = ""
    type: str = ""
    help: str = ""
    default: Any = None
    default_text: str | None = None
    many: bool = False
    convert: Callable[[str], Any] = str
    planned: bool = False
    unsupported: str = ""
    deprecated: str = ""
    hidden: bool = False
    own: bool = False

    @property
    def is_ours(self) -> bool:
        return not self.planned and not self.unsupported

    @property
    def is_shown(self) -> bool:
        return self.is_ours and not self.hidden and not self.deprecated

    @property
    def takes_value(self) -> bool:
        return bool(self.type)

    @property
    def label(self) -> str:
        """As Docker names it in errors: `-p, --publish`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"

    @property
    def default_shown(self) -> str:
        """The default as help shows it in parentheses; empty for the zero value of its type."""
        if self.default_text is not None:
            return self.default_text
        if not self.default:
            return ""
        if isinstance(self.default, bool):
            return "true"
        return quote(self.default) if isinstance(self.default, str) else str(self.default)


def switch(
    name: str, short: str = "", help: str = "", *, default: bool = False, **more: Any
) -> Flag:
    return Flag(name=name, short=short, help=help, default=default, convert=parse_bool, **more)


def value(
    name: str,
    short: str = "",
    help: str = "",
    *,
    type: str = "string",
    default: Any = "",
    **more: Any,
) -> Flag:
    return Flag(name=name, short=short, type=type, help=help, default=default, **more)


def values(name: str, short: str = "", help: str = "", *, type: str = "list", **more: Any) -> Flag:
    return Flag(name=name, short=short, type=type, help=help, default=(), many=True, **more)


def strings(name: str, short: str = "", help: str = "", **more: Any) -> Flag:
    """A flag with several values that may also be written as one, with commas between them."""
    return values(name, short, help, type="strings", **more)


def integer(name: str, short: str = "", help: str = "", *, default: int = 0, **more: Any) -> Flag:
    return value(name, short, help, type="int", default=default, convert=as_int, **more)


HELP: Flag = switch("help", help="Print usage")
"""Every verb has it; only where `-h` means something else is it among the options shown."""


def planned(*labels: str) -> tuple[Flag, ...]:
    """Docker's flags that are still to come, written `name`, `name=type` or `s/name=type`."""
    return tuple(_labelled(label, planned=True) for label in labels)


def _labelled(label: str, **more: Any) -> Flag:
    names, _, type = label.partition("=")
    short, _, name = names.rpartition("/")
    return Flag(name=name, short=short, type=type, **more)


def unsupported(reason: str, *labels: str, convert: Callable[[str], Any] = str) -> tuple[Flag, ...]:
    """Docker's flags that cannot be: `reason` is a sentence about the flag, and what to do.

    `convert` may still find fault with the text, or accept it by returning None.
    """
    return tuple(_labelled(label, unsupported=reason, convert=convert) for label in labels)


class Arguments(Struct, frozen=True):
    """What a line said. `flag("name")` is its value or its default, `words` what is no flag.

    `verb` names the command that runs, `form` the words that asked for it (`container ls`).
    `notices` are lines about deprecated flags that the line used, `config` is the directory of
    client config files that it named.
    """

    verb: str
    words: tuple[str, ...]
    values: dict[str, Any]
    given: frozenset[str] = frozenset()
    form: str = ""
    notices: tuple[str, ...] = ()
    config: str = ""

    def flag(self, name: str) -> Any:
        return self.values[name]

    def is_given(self, name: str) -> bool:
        return name in self.given

    def wrong(self, message: str, *, hint: str = "", exit_code: int = 125) -> WrongUsage:
        """The error for flags that contradict one another."""
        return WrongUsage(message, verb=self.form or self.verb, hint=hint, exit_code=exit_code)


class Parser(Struct, frozen=True, kw_only=True):
    """One verb's grammar. `stops_at_word` ends the flags at the first positional word.

    `form` is how the verb was asked for, where that is not its own name (`container ls`).
    """

    verb: str
    usage: str
    summary: str
    flags: tuple[Flag, ...] = ()
    minimum: int = 0
    maximum: int | None = None
    stops_at_word: bool = False
    instead_of_word: str = ""  # a flag that, when given, takes the place of the first word
    also: str = ""  # a paragraph below the summary in the help
    form: str = ""
    is_passed_on: bool = False  # all words are another program's

    @property
    def name(self) -> str:
        return self.form or self.verb

    @property
    def usage_line(self) -> str:
        """`docker ps [OPTIONS]`; a second line of usage names the command again."""
        text = " ".join(filter(None, ("docker", self.name, self.usage)))
        return text.replace("\n", f"\n\tdocker {self.name} ")

    def find(self, name: str) -> Flag | None:
        return next((flag for flag in self.flags if flag.name == name), None)

    def find_short(self, short: str) -> Flag | None:
        return next((flag for flag in self.flags if flag.short == short), None)

    def wrong(self, message: str, *, hint: str = "", exit_code: int = 125) -> WrongUsage:
        return WrongUsage(
            message, verb=self.name, hint=hint, exit_code=exit_code, usage=self.usage_line
        )
