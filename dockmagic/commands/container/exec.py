"""`docker exec`: one more command in a container that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.detach_keys import DETACH_KEYS
from dockmagic.commands.options.flags import Arguments, Converter, Parser, switch, value, values
from dockmagic.commands.output.result import Attached, Event, Nothing
from dockmagic_runtime.errors import Conflict, InvalidInput, StartFailed
from dockmagic_runtime.model.container import ExecSpec

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi, ProcessApi


# imported for a line that has the flag
check_env = Converter("dockmagic.commands.options.environment", "check_env")


def parser() -> Parser:
    return Parser(
        verb="exec",
        usage="[OPTIONS] CONTAINER COMMAND [ARG...]",
        summary="Execute a command in a running container",
        minimum=2,
        stops_at_word=True,
        flags=(
            switch("detach", "d", "Detached mode: run command in the background"),
            DETACH_KEYS,
            values(
                "env",
                "e",
                "Set environment variables",
                convert=check_env,
            ),
            values("env-file", help="Read in a file of environment variables"),
            switch("interactive", "i", "Keep STDIN open even if not attached"),
            switch("privileged", help="Give extended privileges to the command"),
            switch("tty", "t", "Allocate a pseudo-TTY"),
            value("user", "u", 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
            value("workdir", "w", "Working directory inside the container"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    name, *command = arguments.words
    flag = arguments.flag
    spec = ExecSpec(
        command=tuple(command),
        env=_variables(arguments),
        working_dir=flag("workdir"),
        user=flag("user"),
        tty=flag("tty"),
        open_stdin=flag("interactive") and not flag("detach"),
        privileged=flag("privileged"),
    )
    process = _start(engine, name, spec, detach=flag("detach"))
    if flag("detach"):
        process.detach()
        yield Nothing()
        return
    yield Attached(
        process,
        name,
        tty=spec.tty,
        stdin=spec.open_stdin,
        detach_keys=flag("detach-keys"),
        detach_code=1,
    )


def _variables(arguments: Arguments) -> tuple[str, ...]:
    files, given = arguments.flag("env-file"), arguments.flag("env")
    if not (files or given):
        return ()
    from dockmagic.commands.options.environment import read_env

    return read_env(files, given)


def _start(engine: EngineApi, name: str, spec: ExecSpec, *, detach: bool) -> ProcessApi:
    try:
        return engine.containers.exec(name, spec)
    except StartFailed as error:
        from dockmagic.commands.container.run import lacks_program

        if error.exit_code == 127 and lacks_program(error):
            error.hint = error.hint or "the container has no such program, or not in its PATH"
        error.exit_code = 1 if detach else error.exit_code
        raise
    except InvalidInput as error:
        if not error.message.startswith("unable to find "):
            raise
        code = 1 if detach else 126  # Docker finds out after it has promised the process's output
        raise StartFailed(error.message, exit_code=code, hint=error.hint) from error
    except Conflict as error:
        error.hint = (
            error.hint or f"'docker ps -a' shows its state, 'docker start {name}' starts it"
        )
        raise
