"""`cp` between real containers and this machine, compared with Docker's.

`docker_cp.json` has what Docker 20.10 with the client of Docker 28 made of the same trees: the
words of its errors, or what was new afterwards.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from dockmagic import commands
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError

from .conftest import container_tree, cp, fresh, host_tree

pytestmark = [pytest.mark.root, pytest.mark.network]
DOCKER = json.loads((Path(__file__).parent / "docker_cp.json").read_text())


def outcome_of(words: list[str], engine: Engine, host: Path, name: str) -> tuple[str, bytes]:
    try:
        return "", cp(engine, *words)
    except DockmagicError as error:
        said = error.message.replace(str(host), "{host}")
        return f"error: {said.replace(f'container {name}', '{name}')}", b""


def some(cases: dict[str, object], *, running: bool) -> list[tuple[str, object]]:
    """All, or a sixth of them where each takes the start of a container."""
    return list(cases.items())[:: 6 if running else 1]


@pytest.mark.slow
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_what_is_copied_in_goes_where_docker_puts_it(
    engine: Engine, image: str, host: Path, running: bool
) -> None:
    different = {}
    fresh(engine, image, host, running=False)
    before = container_tree(engine, "tt")
    for case, expected in some(DOCKER["in"], running=running):
        fresh(engine, image, host, running=running)
        *flags, source, target = case.split()
        said, _ = outcome_of([*flags, source, f"tt:{target}"], engine, host, "tt")
        outcome: object = said or sorted(container_tree(engine, "tt") - before)
        if outcome != expected:
            different[case] = (expected, outcome)
    assert not different


@pytest.mark.slow
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_what_is_copied_out_goes_where_docker_puts_it(
    engine: Engine, image: str, host: Path, running: bool
) -> None:
    different = {}
    for case, expected in some(DOCKER["out"], running=running):
        fresh(engine, image, host, running=running)
        before = host_tree(host)
        *flags, source, target = case.split()
        said, _ = outcome_of([*flags, f"tt:{source}", target], engine, host, "tt")
        outcome: object = said or sorted(host_tree(host) - before)
        if outcome != expected:
            different[case] = (expected, outcome)
    assert not different


def test_archives_to_stdout_have_dockers_names(engine: Engine, image: str, host: Path) -> None:
    fresh(engine, image, host, running=False)
    different = {}
    for case, expected in DOCKER["tar"].items():
        *flags, source = case.split()
        said, archive = outcome_of([*flags, f"tt:{source}", "-"], engine, host, "tt")
        outcome: object = said
        if not said:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                outcome = sorted(tar.getnames())
        if outcome != expected:
            different[case] = (expected, outcome)
    assert not different


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b"), "must specify at least one container source"),
        (("-", "-"), "must specify at least one container source"),
        (("one:/a", "two:/b"), "copying between containers is not supported"),
        (("", "one:/a"), "source can not be empty"),
        (("one:/a", ""), "destination can not be empty"),
        (("nosuch:/a", "x"), "No such container: nosuch"),
        (("/etc/passwd", "nosuch:/a"), "No such container: nosuch"),
    ],
)
def test_lines_that_cannot_be(
    engine: Engine, host: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DockmagicError, match=message):
        cp(engine, *words)


def test_how_much_was_copied_is_said_in_dockers_words(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    copied = commands.execute(engine, commands.parse(["cp", "f", "tt:/tmp/"]))
    assert str(copied) == "Successfully copied 2.05kB to tt:/tmp/"
    (host / "empty").touch()
    copied = commands.execute(engine, commands.parse(["cp", "empty", "tt:new"]))
    assert str(copied) == "Successfully copied 1.54kB to tt:new"
    copied = commands.execute(engine, commands.parse(["cp", "tt:/c/f", "./ex/../here"]))
    assert str(copied) == f"Successfully copied 2.05kB to {host}/here"


def test_nothing_is_left_open(engine: Engine, image: str, host: Path) -> None:
    fresh(engine, image, host, running=True)
    cp(engine, "tt:/c", "warm")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        cp(engine, "tt:/c", "out")
        cp(engine, "d", "tt:/c/in")
        with pytest.raises(DockmagicError):
            cp(engine, "tt:/nope", "out")
        _, stream = engine.containers.get_archive("tt", "/c")
        stream.close()  # before it was read at all
        _, stream = engine.containers.get_archive("tt", "/c")
        next(stream)
        stream.close()
    assert len(os.listdir("/proc/self/fd")) == before
