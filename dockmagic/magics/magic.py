"""The magics themselves: callables that IPython registers under a name.

Each splits its line into words (`line.py`), runs the command and returns what it gave. IPython's
own expansion is off, because it turns `{{.State}}` into `{.State}` and leaves the whole line alone,
silently, when one variable is missing. `%name?` shows the parser's help, asked for when it is
wanted: loading the extension imports no verb.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dockmagic import commands
from dockmagic.commands.flags import HelpAsked, Parser
from dockmagic.magics.failures import as_magic_errors
from dockmagic.magics.line import logical_lines, split_commands, split_line
from dockmagic.magics.runner import EXTRA_FLAGS, Runner
from dockmagic.widgets.untrusted import clean
from dockmagic_runtime.errors import InvalidInput

_PROMPTS = ("$ ", "> ")


class Magic:
    """Base: what IPython looks for on a magic, and the names that a line may use."""

    # Read by IPython with getattr: its decorators set the same names on functions.
    needs_local_scope = True
    _ipython_magic_no_var_expand = True
    _ipython_magic_output_can_be_silenced = True

    def __init__(self, name: str, runner: Runner) -> None:
        self.__name__ = name
        self._runner = runner

    def __call__(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> object:
        namespace = {**self._runner.variables, **(local_ns or {})}
        return self.run(line, cell, namespace)

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        raise NotImplementedError

    def getdoc(self) -> str:
        """What `%name?` shows: IPython asks an object for it before it looks at `__doc__`."""
        raise NotImplementedError


class VerbMagic(Magic):
    """`%ps -a`: one verb. As a cell magic, the body is the command's standard input."""

    def __init__(self, name: str, runner: Runner, *words: str) -> None:
        super().__init__(name, runner)
        self._words = words  # the verb, and flags that come with the name

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        with as_magic_errors():
            given = split_line(line, namespace)
        if cell is None:
            return self._runner.run([*self._words, *given])
        return self._runner.run([*self._words, "--interactive", *given], stdin=cell.encode())

    def getdoc(self) -> str:
        verb = self._words[0]
        text = commands.parser(verb, EXTRA_FLAGS).help()
        return text.replace(f"docker {verb} ", f"%{self.__name__} ").strip()


class DockerMagic(Magic):
    """`%docker LINE`, and `%%docker` with lines pasted from a shell session."""

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        if cell is None:
            return self._all([line], namespace, echo=False)
        lines = logical_lines(f"{line}\n{cell}")
        return self._all(lines, namespace, echo=len(lines) > 1)

    def _all(self, lines: Sequence[str], namespace: Mapping[str, Any], *, echo: bool) -> object:
        """One after the other, up to the first that fails; the last one's result is the cell's."""
        last: object = None
        for words in self._commands(lines, namespace):
            if last is not None:
                _show(last)
            if echo:
                sys.stdout.write(f"$ docker {' '.join(words)}\n")
                sys.stdout.flush()
            last = self._runner.run(words)
        return last

    def _commands(self, lines: Sequence[str], namespace: Mapping[str, Any]) -> Iterator[list[str]]:
        for line in lines:
            commands = split_commands(_without_prompt(line), namespace, self._substitute)
            while True:
                with as_magic_errors():
                    words = next(commands, None)
                if words is None:
                    break
                yield _without_program(words)

    def _substitute(self, command: str) -> str:
        """What `$(docker …)` stands for: the text of that command's result."""
        words = split_line(command, self._runner.variables)
        if words[:1] not in (["docker"], ["dockmagic"]):
            raise InvalidInput(
                f"$({command}): only docker commands can stand in $( )",
                hint="put the value into a variable and write {name}",
            )
        arguments = commands.parse(words[1:])
        outcome = commands.execute(self._runner.session.engine, arguments)
        if not isinstance(outcome, commands.Result):
            raise InvalidInput(f"$({command}): this command gives no text to insert")
        return str(outcome)

    def getdoc(self) -> str:
        return commands.help_text().strip()


def _without_prompt(line: str) -> str:
    return next((line[2:] for prompt in _PROMPTS if line.startswith(prompt)), line)


def _without_program(words: list[str]) -> list[str]:
    """`docker ps`, `sudo docker ps` and `ps` are the same here."""
    if words[:1] == ["sudo"]:
        words = words[1:]
    return words[1:] if words[:1] in (["docker"], ["dockmagic"]) else words


def _show(thing: object) -> None:
    from IPython.display import display

    show: Any = display  # untyped in IPython
    show(thing)


class DockerfileMagic(Magic):
    """`%%dockerfile -t TAG`: the cell is a Dockerfile, its context the notebook's folder."""

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        from dockmagic.commands.build import build

        runner = self._runner
        try:
            with as_magic_errors():
                arguments = _dockerfile_parser().parse(split_line(line, namespace))
                context = arguments.words[0] if arguments.words else os.getcwd()
                events = build(
                    runner.session.engine,
                    arguments,
                    cell or "",
                    context=os.path.abspath(context),  # noqa: PTH100 - as the builder has it
                    file_name="Dockerfile",
                )
                return runner.show(events, arguments)
        except HelpAsked as help:
            sys.stdout.write(clean(help.text) + "\n")
            return None

    def getdoc(self) -> str:
        return _dockerfile_parser().help().strip()


def _dockerfile_parser() -> Parser:
    parser = commands.parser("build")
    flags = tuple(flag for flag in parser.flags if flag.name != "file")
    return replace(
        parser,
        usage="[OPTIONS] [PATH]   (the cell is the Dockerfile)",
        minimum=0,
        flags=flags,
        also="PATH is the build context: the notebook's folder if not given.",
    )
