"""Errors in the frames of Docker's client, as recorded of version 28.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.output.error_frame import framed
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import DockmagicError

from .fake_engine import FakeEngine

RUN_HELP = "\n\nRun 'docker run --help' for more information"


def said(engine: Any, words: Sequence[str]) -> str:
    """What Docker's client would write of the errors of a line."""
    form, behind = "", tuple[str, ...]()
    try:
        arguments = commands.parse(words)
        form, behind = arguments.form, arguments.words
        outcome = commands.execute(engine, arguments)
        events = [outcome] if isinstance(outcome, Result) else list(outcome)
    except DockmagicError as error:
        return framed(error, form, behind)
    result = events[-1]
    assert isinstance(result, Result)
    lines = [framed(error, form) for error in result.errors]
    return "\n".join(filter(None, [*lines, result.trailer]))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "run --nosuch",
            "unknown flag: --nosuch\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]"
            + RUN_HELP,
        ),
        (
            "container ls x",
            "docker: 'docker container ls' accepts no arguments\n\n"
            "Usage:  docker container ls [OPTIONS]\n\n"
            "Run 'docker container ls --help' for more information",
        ),
        (
            "volume rm",
            "docker: 'docker volume rm' requires at least 1 argument\n\n"
            "Usage:  docker volume rm [OPTIONS] VOLUME [VOLUME...]\n\n"
            "See 'docker volume rm --help' for more information",
        ),
        (
            "port a b c",
            "docker: 'docker port' requires at least 1 and at most 2 arguments\n\n"
            "Usage:  docker port CONTAINER [PRIVATE_PORT[/PROTO]]\n\n"
            "Run 'docker port --help' for more information",
        ),
        (
            "cp a",
            "docker: 'docker cp' requires 2 arguments\n\n"
            "Usage:  docker cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n"
            "\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH\n\n"
            "Run 'docker cp --help' for more information",
        ),
        (
            "nosuch",
            "docker: unknown command: docker nosuch\n\nRun 'docker --help' for more information",
        ),
        (
            "container nosuch",
            "docker: unknown command: docker container nosuch\n\nUsage:  docker container\n\n"
            "Run 'docker container --help' for more information",
        ),
        (
            "--nosuch",
            "unknown flag: --nosuch\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]\n\n"
            "Run 'docker --help' for more information",
        ),
        ("run Aa", "docker: invalid reference format: repository name (library/Aa) must be "
         "lowercase" + RUN_HELP),
        ("run -p x busybox", "docker: invalid containerPort: x" + RUN_HELP),
        ("run --pid nope busybox", "docker: --pid: invalid PID mode" + RUN_HELP),
        (
            "run -m 1m busybox",
            "docker: Error response from daemon: Minimum memory limit allowed is 6MB" + RUN_HELP,
        ),
        (
            "run --log-opt x=y busybox",
            "docker: Error response from daemon: unknown log opt 'x' for json-file log driver"
            + RUN_HELP,
        ),
        (
            "run -h x --uts host busybox",
            "docker: Error response from daemon: conflicting options: hostname and the UTS mode"
            + RUN_HELP,
        ),
        (
            "run --rm --restart always x",
            "docker: conflicting options: cannot specify both --restart and --rm" + RUN_HELP,
        ),
        ("run -d -a stdin x", "conflicting options: cannot specify both --attach and --detach"),
        (
            "create --restart on-failure:x b",
            "docker: invalid restart policy format: maximum retry count must be an integer\n\n"
            "Run 'docker create --help' for more information",
        ),
        ("cp a b", "must specify at least one container source"),
        ("start -a a b", "you cannot start and attach multiple containers at once"),
        ("port web 99", "Error: No public port '99' published for web"),
    ],
)  # fmt: skip
def test_command_line_frames_of_what_the_client_finds_wrong(
    engine: FakeEngine, line: str, text: str
) -> None:
    said(engine, "run -d --name web httpd".split())
    assert said(engine, line.split()) == text
