"""What the magics do: split the line into words (`line.py`), run the command, return the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.options.flags import HelpAsked, Parser
from dockmagic.commands.options.reading import read
from dockmagic.commands.output.result import Result
from dockmagic.errors import MagicError
from dockmagic.magics.failures import as_magic_errors
from dockmagic.magics.line import Command, logical_lines, split_commands, split_line
from dockmagic.magics.runner import EXTRA_FLAGS, Runner
from dockmagic.widgets.sanitize import clean
from dockmagic_runtime.errors import InvalidInput

_PROMPTS = ("$ ", "> ")


class Magic:
    """Base: what one magic does with its line, its cell and the names it may use."""

    def __init__(self, name: str, runner: Runner) -> None:
        self.name = name
        self._runner = runner

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        """Do it. Raises MagicError; returns what the cell shows."""
        raise NotImplementedError

    def help(self) -> str:
        """What `%name?` shows."""
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

    def help(self) -> str:
        verb = self._words[0]
        text = commands.verb_help(commands.parser(verb, EXTRA_FLAGS))
        return text.replace(f"docker {verb} ", f"%{self.name} ").strip()


class RmMagic(VerbMagic):
    """`%rm`: the name was IPython's for the shell's rm, so a user may mean a file."""

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        try:
            return super().run(line, cell, namespace)
        except MagicError as error:
            files = [word for word in line.split() if Path(word).exists()]
            if files:
                error.hint = f"%rm removes containers; for the file: !rm {' '.join(files)}"
            raise


class NetworkMagic(Magic):
    """`%network`: all networks as a picture, or one; `%network trace ADDRESS:PORT`. Docker's own
    verbs work here too, as after `%docker network`."""

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        with as_magic_errors():
            words = split_line(line, namespace)
        verbs = commands.GROUPS["network"]
        is_verb = bool(words) and (words[0] in verbs or words[0].startswith("-"))
        return self._runner.run(["network", *([] if is_verb else ["draw"]), *words])

    def help(self) -> str:
        texts = [
            commands.verb_help(commands.parser(f"network_{verb}")) for verb in ("draw", "trace")
        ]
        whole = "\n\n".join(text.strip() for text in texts)
        return whole.replace("docker network draw", "%network").replace(
            "docker network trace", "%network trace"
        )


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
        for command in self._commands(lines, namespace):
            if last is not None:
                _show(last)
            if echo:
                sys.stdout.write(f"$ {command.text}\n")
                sys.stdout.flush()
            last = self._runner.run(_without_program(command.words))
        return last

    def _commands(self, lines: Sequence[str], namespace: Mapping[str, Any]) -> Iterator[Command]:
        for line in lines:
            commands = split_commands(_without_prompt(line), namespace, self._substitute)
            while True:
                with as_magic_errors():
                    command = next(commands, None)
                if command is None:
                    break
                yield command

    def _substitute(self, command: str) -> str:
        """What `$(docker …)` stands for: the text of that command's result."""
        words = split_line(command, self._runner.variables)
        if words[:1] not in (["docker"], ["dockmagic"]):
            raise InvalidInput(
                f"$({command}): only docker commands can stand in $( )",
                hint="put the value into a variable and write {name}",
            )
        arguments = commands.parse(words[1:])
        outcome = commands.execute(self._runner.session.engine_when_used, arguments)
        if not isinstance(outcome, Result):
            raise InvalidInput(f"$({command}): this command gives no text to insert")
        return str(outcome)

    def help(self) -> str:
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
        from dockmagic.commands.builder.build import build

        runner = self._runner
        try:
            with as_magic_errors():
                arguments = read(_dockerfile_parser(), split_line(line, namespace))
                if not (cell or "").strip():
                    raise InvalidInput(
                        "the %%dockerfile cell is empty",
                        hint="write the Dockerfile below its first line, beginning with FROM",
                    )
                context = arguments.words[0] if arguments.words else os.getcwd()
                events = build(
                    runner.session.engine,
                    arguments,
                    cell or "",
                    context=os.path.abspath(context),  # noqa: PTH100 - as the builder has it
                    file_name="Dockerfile",
                )
                return runner.show(events, arguments)
        except HelpAsked as asked:
            sys.stdout.write(clean(asked.text) + "\n")
            return None

    def help(self) -> str:
        return commands.verb_help(_dockerfile_parser())


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
