"""What the magics do: split the line into words (`line.py`), run the command, return the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.options.flags import HelpAsked, Parser
from dockmagic.commands.options.reading import read
from dockmagic.errors import MagicError
from dockmagic.magics.background import run
from dockmagic.magics.docker_lines import Lines
from dockmagic.magics.failures import as_magic_errors
from dockmagic.magics.runner import EXTRA_FLAGS, Runner
from dockmagic.magics.shell.host import Host
from dockmagic.widgets.sanitize import clean
from dockmagic_runtime.errors import InvalidInput


class Magic:
    """Base: what one magic does with its line, its cell and the names it may use."""

    def __init__(self, name: str, runner: Runner, host: Host) -> None:
        self.name = name
        self._runner = runner
        self._host = host

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        """Do it. Raises MagicError; returns what the cell shows."""
        raise NotImplementedError

    def help(self) -> str:
        """What `%name?` shows."""
        raise NotImplementedError

    def _lines(self, namespace: Mapping[str, Any]) -> Lines:
        return Lines(self._runner, self._host, namespace)


class VerbMagic(Magic):
    """`%ps -a`: one verb. As a cell magic, the body is the command's standard input."""

    def __init__(self, name: str, runner: Runner, host: Host, *words: str) -> None:
        super().__init__(name, runner, host)
        self._words = words  # the verb, and flags that come with the name

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        lines = self._lines(namespace)
        given = lines.words(line)
        with lines.explaining():
            if cell is None:
                return run(self._runner, [*self._words, *given])
            words = [*self._words, "--interactive", *given]
            return run(self._runner, words, stdin=cell.encode())

    def help(self) -> str:
        verb = self._words[0]
        if verb in commands.GROUPS and len(self._words) == 1:
            return commands.group_help(verb).replace(f"docker {verb} ", f"%{self.name} ")
        line = commands.resolve(self._words)
        text = commands.verb_help(commands.parser(line.verb, EXTRA_FLAGS, form=line.form))
        return text.replace(f"docker {line.form} ", f"%{self.name} ").strip()


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
        words = self._lines(namespace).words(line)
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
        if cell is None and not line.strip():
            return self._runner.run([])
        lines = self._lines(namespace)
        if cell is None:
            return lines.run_line(line)
        if line.split() == ["--no-raise-error"]:
            return lines.run_cell(cell, goes_on=True)
        return lines.run_cell(f"{line}\n{cell}")

    def help(self) -> str:
        return commands.help_text().strip()


class DockerfileMagic(Magic):
    """`%%dockerfile -t TAG`: the cell is a Dockerfile, its context the notebook's folder."""

    def run(self, line: str, cell: str | None, namespace: Mapping[str, Any]) -> object:
        from dockmagic.commands.builder.build import build

        runner = self._runner
        try:
            with as_magic_errors():
                arguments = read(_dockerfile_parser(), self._lines(namespace).words(line))
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
