"""Dockerfiles as people get them wrong: place, reason and suggestion, in a terminal and a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dockmagic.cli import main
from dockmagic.errors import MagicError

pytestmark = [pytest.mark.root, pytest.mark.network]

# The Dockerfile, the line, the reason, the advice; all of each error.
MISTAKES: dict[str, tuple[str, list[tuple[int, str, str]]]] = {
    "words and flags misspelt": (
        "FROM busybox\nRUNN echo hi\nCOPY --chwon=1 a b\n",
        [
            (2, "unknown instruction: RUNN", "did you mean RUN?"),
            (3, "unknown flag: --chwon", "did you mean --chown?"),
        ],
    ),
    "a file that is not there": (
        "FROM busybox\nCOPY indx.html /\n",
        [(2, "stat indx.html: file does not exist", "did you mean index.html?")],
    ),
    "a file that is ignored": (
        "FROM busybox\nCOPY hidden.txt /\n",
        [(2, "excluded by .dockerignore", "hidden.txt is there, and .dockerignore")],
    ),
    "a command that fails": (
        "FROM busybox\nRUN echo before; exit 3\n",
        [(2, "did not complete successfully: exit code: 3", "--from-failed")],
    ),
    "a program that is not there": (
        "FROM busybox\nRUN nosuch\n",
        [(2, "exit code: 127", "a program that the command names is not in the image")],
    ),
    "no name of an image": (
        "FROM busybox AS build\nFROM busybox\nCOPY --from=a:b:c /x /y\n",
        [(3, "invalid reference format", "")],
    ),
    "a stage misspelt": (
        "FROM busybox AS build\nFROM busybox\nCOPY --from=biuld /x /y\n",
        [(3, "biuld", "did you mean the stage build?")],
    ),
    "a base image misspelt": (
        "FROM busybxo\n",
        [(1, "busybxo", "similar: busybox:latest")],
    ),
    "stages in a circle": (
        "FROM busybox AS a\nCOPY --from=b /x /y\nFROM busybox AS b\nCOPY --from=a /x /y\n",
        [(3, "circular dependency detected on stage: b", "b → a → b")],
    ),
    "a heredoc without its end": (
        "FROM busybox\nRUN <<EOF\necho hi\n",
        [(2, "unterminated heredoc", "a line with EOF alone ends it")],
    ),
    "a quote without its end": (
        'FROM busybox\nENV A="x\n',
        [(2, "looking for matching double-quote", "")],
    ),
    "another platform": (
        "FROM --platform=plan9/mips busybox\n",
        [(1, "--platform=plan9/mips cannot be built here", "leave --platform out")],
    ),
}

RULE = "-" * 20
MARKED = {"a heredoc without its end": 2}  # lines, where it is not one for each error


@pytest.fixture
def engine(stocked_engine: Any) -> Any:
    return stocked_engine


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "index.html").write_text("hi")
    (tmp_path / "hidden.txt").write_text("hi")
    (tmp_path / ".dockerignore").write_text("hidden.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MISTAKES)
def test_builder_17_a_mistake_is_shown_with_its_lines_in_both(
    name: str, run: Any, session: Any, context: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text, problems = MISTAKES[name]
    marked = MARKED.get(name, len(problems))
    cell = run(f"%%dockerfile\n{text}")
    assert isinstance(cell.error, MagicError)
    (context / "Dockerfile").write_text(text)
    assert main(["build", "."], session) == 1
    for shown in ("\n".join(cell.traceback), capfd.readouterr().err):
        rows = shown.splitlines()
        for number, reason, advice in problems:
            assert f"   {number} | >>> {text.splitlines()[number - 1]}" in rows
            assert reason in shown
            assert advice in shown
        first = rows.index(f"Dockerfile:{problems[0][0]}")
        assert rows[first + 1] == RULE
        assert RULE in rows[first + 2 :]
        assert rows.count(RULE) == 2
        assert shown.count(">>>") == marked
