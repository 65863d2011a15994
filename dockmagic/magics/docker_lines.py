"""The lines of `%docker` and `%%docker`, one command after the other, as in a shell.

Docker's commands run here and give objects; programs of the host run in `sh`, and find a `docker`
of ours there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

from dockmagic import commands
from dockmagic.commands.output.result import Result
from dockmagic.errors import MagicError
from dockmagic.magics.background import run
from dockmagic.magics.failures import as_magic_errors, interruptible
from dockmagic.magics.line import one_command
from dockmagic.magics.objects import Completed
from dockmagic.magics.runner import Runner
from dockmagic.magics.shell import script, words
from dockmagic.magics.shell.host import Host, is_complete
from dockmagic.magics.shell.render import lent, render
from dockmagic.magics.shell.scope import Scope
from dockmagic.magics.shell.script import Command
from dockmagic.magics.shown import show
from dockmagic.magics.streams import CellOutput, Streams
from dockmagic.widgets.sanitize import plain

PROGRAMS: Final = ("docker", "dockmagic")
_BUILT_IN: Final = frozenset(
    ". : [ alias bg break cd command continue echo eval exec exit export false fg getopts hash "
    "jobs kill local printf pwd read readonly return set shift source test times trap true type "
    "ulimit umask unalias unset wait".split()
)


class Lines:
    """Runs the commands of one cell."""

    def __init__(self, runner: Runner, host: Host, namespace: Mapping[str, Any]) -> None:
        self._runner = runner
        self._host = host
        self._scope = Scope(namespace, self._substitute)
        self._status = 0
        self._error: MagicError | None = None
        self._is_session = self._goes_on = False
        self._in_dockers_line = False
        self._last: object = None

    def words(self, line: str) -> list[str]:
        """The words of the one command behind a magic that is named like its verb."""
        with as_magic_errors():
            return one_command(line, self._scope)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Says of an error which variables of the line stood for nothing."""
        try:
            yield
        except MagicError as error:
            for name in sorted(self._scope.unset):
                error.message += f": ${name} is empty"
                error.hint = f"there is no variable {name} here. {error.hint}".rstrip()
            raise

    def run_line(self, line: str) -> object:
        """One line behind `%docker`: what it begins with is a command of Docker's."""
        first = line.split()[:1]
        is_whole = first in (["docker"], ["dockmagic"], ["sudo"], ["$"])
        return self._run(line if is_whole else f"docker {line}", echo=False)

    def run_cell(self, cell: str, *, goes_on: bool = False) -> object:
        """A cell of lines. One that says `docker` somewhere is a shell session: a program of the
        host is that program there, even where Docker has a verb of its name.

        A line that fails ends the cell, unless it `goes_on`.
        """
        self._goes_on = goes_on
        parsed = self._parsed(cell)
        self._is_session = any(_says_docker(command) for command in parsed)
        return self._run(cell, echo=len(parsed) > 1)

    def _parsed(self, text: str) -> list[Command]:
        with as_magic_errors():
            return list(script.commands(text, is_complete))

    def _run(self, text: str, *, echo: bool) -> object:
        for command in self._parsed(text):
            self._before(command)
            if self._is_skipped(command):
                continue
            show(self._last)
            self._last = None
            if echo:
                sys.stdout.write(f"$ {command.text}\n")
                sys.stdout.flush()
            self._attempt(command)
        self._raise()
        return self._last

    def _before(self, command: Command) -> None:
        """A line that failed ends the cell; behind `;` and `||` its error is only shown."""
        if not command.joint:
            self._raise()
            self._in_dockers_line = _says_docker(command)
        elif self._error is not None and not self._is_skipped(command):
            self._report(self._error)
            self._error = None

    def _report(self, error: MagicError) -> None:
        sys.stderr.write(f"{plain(str(error))}\n")

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            if not self._goes_on:
                raise error
            self._report(error)

    def _is_skipped(self, command: Command) -> bool:
        return (command.joint == "&&" and self._status != 0) or (
            command.joint == "||" and self._status == 0
        )

    def _attempt(self, command: Command) -> None:
        self._scope.status = self._status
        self._scope.unset.clear()
        try:
            self._status = 0
            with self.explaining():
                self._simple(command) if command.is_simple else self._in_shell(command)
        except MagicError as error:
            self._status = error.exit_code or 1
            self._error = error

    def _simple(self, command: Command) -> None:
        """Expands the words when the command's turn has come: `$(docker ps -q)` depends on the
        one before."""
        with as_magic_errors():
            rest = list(command.words)
            assigned: dict[str, str] = {}
            while rest and (pair := words.assignment(rest[0], self._scope)):
                assigned[pair[0]] = pair[1]
                rest.pop(0)
            expanded = [word for source in rest for word in words.fields(source, self._scope)]
        if not expanded:
            self._scope.variables |= assigned
            return
        before = {name: os.environ.get(name) for name in assigned}
        os.environ.update(assigned)
        try:
            self._command(expanded)
        finally:
            for name, value in before.items():
                _restore(name, value)

    def _command(self, expanded: list[str]) -> None:
        ours = self._ours(expanded)
        if ours is not None:
            self._last = run(self._runner, ours, of_magic=False)
            if isinstance(self._last, Completed):
                self._status = self._last.exit_code
        elif expanded[0] == "export" and all(_is_plain_export(word) for word in expanded[1:]):
            self._export(expanded[1:])
        elif expanded[0] == "unset" and not any(word.startswith("-") for word in expanded):
            for name in expanded[1:]:
                self._scope.variables.pop(name, None)
                os.environ.pop(name, None)
        else:
            self._program(expanded)

    def _ours(self, expanded: list[str]) -> list[str] | None:
        """The words behind `docker`, if the command is Docker's; None for one of the host."""
        if program := _program(expanded):
            return expanded[program:]
        if self._in_dockers_line or not _is_verb(expanded):
            return None
        if self._is_session and _is_program(expanded[0]):
            return None
        return expanded

    def _export(self, pairs: list[str]) -> None:
        for pair in pairs:
            name, equals, value = pair.partition("=")
            known = value if equals else self._scope.variables.get(name)
            if known is not None:
                os.environ[name] = known
                self._scope.variables[name] = known

    def _program(self, expanded: list[str]) -> None:
        name = expanded[0]
        if not _is_program(name):
            with as_magic_errors():
                commands.resolve([name])  # raises its error, which knows what is like it
        self._host_runs(shlex.join(expanded), {})

    def _in_shell(self, command: Command) -> None:
        with as_magic_errors():
            text = render(command.text, self._scope)
            values = lent(f"{command.text}\n{command.here}", self._scope)
        self._host_runs(f"{text}\n{command.here}", values)

    def _host_runs(self, text: str, values: dict[str, str]) -> None:
        output, name = self._streams(), textwrap.shorten(text, 60, placeholder=" …")
        with closing(output), interruptible(lambda _: f"{name} stopped"):
            code = self._host.run(
                text,
                output.write,
                hidden=self._scope.variables,
                lent=values,
                status=self._scope.status if "$?" in text else 0,
            )
        if code:
            raise MagicError(f"{name} exited with {code}", exit_code=code)

    def _streams(self) -> Streams:
        return Streams(CellOutput(self._runner.limits()))

    def _substitute(self, text: str) -> str:
        """The output of a command in `$( )`; one of Docker's is answered here."""
        parsed = list(script.commands(text, is_complete))
        if len(parsed) == 1 and (program := _program(parsed[0].words)):
            sources = parsed[0].words[program:]
            expanded = [word for source in sources for word in words.fields(source, self._scope)]
            arguments = commands.parse(expanded)
            outcome = commands.execute(self._runner.session.engine_when_used, arguments)
            if isinstance(outcome, Result):
                if outcome.errors:
                    raise outcome.errors[0]
                return str(outcome)
        with closing(self._streams()) as output:
            return self._host.output(
                render(text, self._scope),
                output.write,
                hidden={**lent(text, self._scope), **self._scope.variables},
            )


def _program(sources: tuple[str, ...] | list[str]) -> int:
    """How many words name our program: `docker`, `sudo docker`; 0 for another program."""
    start = 0
    while start < len(sources) and words.is_assignment(sources[start]):
        start += 1
    is_sudo = sources[start : start + 1] in (["sudo"], ("sudo",))
    at = start + is_sudo
    return at + 1 if at < len(sources) and sources[at] in PROGRAMS else 0


def _says_docker(command: Command) -> bool:
    return bool(_program(command.text.split()))


def _is_verb(expanded: list[str]) -> bool:
    """Whether a command without `docker` before it is a command of Docker's.

    `export A=1` and `cp FILE FILE` are none: Docker would refuse them.
    """
    name, *rest = expanded
    if name == "export":
        return not all(_is_plain_export(word) for word in rest)
    if name == "cp":
        return any(":" in word or word == "-" for word in rest)
    return name in commands.names() or name in commands.PLANNED or name in ("help", "--help")


def _is_plain_export(word: str) -> bool:
    return "=" in word and words.is_assignment(word)


def _is_program(name: str) -> bool:
    return name in _BUILT_IN or shutil.which(name) is not None


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
