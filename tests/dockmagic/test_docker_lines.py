"""`%docker` and `%%docker` as a shell session: Docker's commands here, all else in `sh`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dockmagic.errors import MagicError


@pytest.fixture
def shim(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory with the `docker` that a shell finds; this one says what it was asked."""
    for name in ("A", "B", "TOK"):
        monkeypatch.delenv(name, raising=False)
    directory = Path(shell._dockmagic_extension.shim.directory)
    (directory / "docker").write_text('#!/bin/sh\necho "docker:" "$@"\n')
    return directory


def test_notebook_b12_docker_alone_shows_the_help(run: Any) -> None:
    shown = run("%docker").stdout
    assert "Usage:  docker [OPTIONS] COMMAND" in shown
    for line in ("  network     Manage networks", "  volume      Manage volumes", "  system "):
        assert line in shown
    assert run("%docker --help").stdout == shown


def test_a_failure_before_a_semicolon_or_an_or_is_shown_and_the_line_goes_on(run: Any) -> None:
    cell = run("%docker rm nosuch; docker run -d --name web httpd")
    assert (cell.error, cell.stderr) == (None, "No such container: nosuch\n")
    assert run("%docker rm nosuch || docker stop web").error is None
    assert run("%docker stop web || docker stop nosuch").error is None


def test_a_failure_before_an_and_ends_the_line(run: Any, engine: Any) -> None:
    cell = run("%docker rm nosuch && docker run -d --name web httpd")
    assert isinstance(cell.error, MagicError)
    assert engine.created == {}
    cell = run("%docker rm nosuch && docker ps; docker run -d --name web httpd")
    assert (cell.error, list(engine.created)) == (None, ["web"])


def test_the_second_command_of_a_line_is_the_shells_unless_it_says_docker(
    run: Any, engine: Any, tmp_path: Path
) -> None:
    (tmp_path / "web").touch()
    assert run("%docker run -d --name web httpd && rm web").error is None
    assert "web" in engine.created
    assert not (tmp_path / "web").exists()


def test_a_session_that_says_docker_means_the_programs_of_the_host_else(
    run: Any, engine: Any, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM httpd\n")
    cell = run("%%docker\ncp Dockerfile other\ndocker run -d --name web httpd\nrm Dockerfile\n")
    assert cell.error is None
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["other"]
    assert run("%%docker\nrm -f web\n").error is None
    assert engine.created == {}


def test_notebook_b23_a_program_of_the_host_runs_in_a_docker_cell(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert (
        run("%%docker\nls -A\n").stdout == "file\nipython\n" or "file" in run("%%docker\nls").stdout
    )
    cell = run("%%docker\nimagse\n")
    assert cell.traceback[0].endswith("unknown command: docker imagse")
    assert "did you mean images?" in cell.traceback[1]
    assert run("%%docker\ncp file other").error is None
    assert (tmp_path / "other").exists()


def test_pipes_and_redirections_run_in_sh_with_our_docker(
    run: Any, shim: Path, tmp_path: Path
) -> None:
    assert run("%docker ps -a | tr a-z A-Z").stdout == "DOCKER: PS -A\n"
    assert run("%docker ps > out").stdout == ""
    assert (tmp_path / "out").read_text() == "docker: ps\n"
    cell = run("%%docker\ndocker ps -q | while read line; do\n  echo got $line\ndone\n")
    assert "got docker: ps -q\n" in cell.stdout
    assert run("%%docker\nfor i in 1 2; do\n docker stop c$i; done").stdout == (
        "docker: stop c1\ndocker: stop c2\n"
    )
    assert run("%%docker\nsh -c 'docker top x'").stdout == "docker: top x\n"


def test_values_of_the_notebook_reach_the_shell_quoted(run: Any, shim: Path) -> None:
    run('name, n = "it\'s a \\"$HOME\\"", 3')
    shown = 'docker: run it\'s a "$HOME" it\'s a "$HOME" 3 {name}\n'
    assert run("%docker run {name} \"{name}\" $n '{name}' | cat").stdout == shown
    assert run('%%docker\necho "$name" | cat').stdout == 'it\'s a "$HOME"\n'
    cell = run("things = {}\n%docker ps | grep $things")
    assert cell.traceback[0].endswith(
        "'things' is a dict: only text and numbers can be put into a line"
    )


def test_a_here_document_is_passed_on_as_written(run: Any, shim: Path, tmp_path: Path) -> None:
    cell = run("%%docker\ncat > Dockerfile <<'EOF'\nFROM {x}\nRUN echo $HOME\nEOF\nls Dockerfile\n")
    assert cell.error is None
    assert (tmp_path / "Dockerfile").read_text() == "FROM {x}\nRUN echo $HOME\n"


def test_export_and_cd_last_and_a_plain_variable_ends_with_its_cell(
    run: Any, shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    monkeypatch.setenv("TOK", "before")
    path = os.environ["PATH"]
    cell = run("%%docker\nexport TOK=a\\ b\nB=x\ncd app\necho $TOK $B; echo $B | cat\n")
    assert "a b x\n" in cell.stdout
    assert "\nx\n" in cell.stdout
    assert os.environ["TOK"] == "a b"
    assert Path.cwd() == tmp_path / "app"
    assert "B" not in os.environ
    (tmp_path / "app" / "settings").write_text("export TOK=file\n")
    assert run("%%docker\n. ./settings\necho [$B] $TOK").stdout.endswith("[] file\n")
    run("%%docker\nunset TOK")
    assert "TOK" not in os.environ
    assert os.environ["PATH"] == path


def test_a_variable_before_a_command_is_for_that_command(run: Any, engine: Any) -> None:
    cell = run("%%docker\nTOK=1 docker run -d -e TOK --name web httpd\n")
    assert cell.error is None
    assert "TOK=1" in engine.calls[-1][1].env
    assert "TOK" not in os.environ


def test_the_output_of_any_command_can_be_put_into_a_line(run: Any, engine: Any) -> None:
    run("%docker run -d --name $(echo web | tr w W) httpd")
    assert list(engine.created) == ["Web"]
    assert run("%docker stop `docker ps -q`").error is None
    assert run("%stop $(docker ps -a -q)").error is None


def test_the_exit_code_of_a_program_is_an_error_and_a_status(run: Any) -> None:
    cell = run("%%docker\nfalse\necho not reached\n")
    assert cell.traceback[0].endswith("false exited with 1")
    assert "not reached\n" not in cell.stdout.replace("$ echo not reached", "")
    assert run("%%docker\nsh -c 'exit 3'; echo $?").stdout.endswith("\n3\n")
    assert run("%%docker\nfalse || echo $?; true && echo yes | cat").stdout.endswith(
        "1\n$ true\n$ echo yes | cat\nyes\n"
    )


def test_the_output_of_programs_is_made_harmless(run: Any) -> None:
    cell = run("%%docker\nprintf 'a\\033]52;c;ZQ==\\007b\\n'; printf 'err\\n' >&2\n")
    assert "ab\n" in cell.stdout
    assert "err\n" in cell.stderr


def test_an_interrupt_ends_the_programs_of_a_line(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dockmagic.magics.docker_lines.Streams.write", interrupted)
    cell = run("%%docker\nsh -c 'echo $$ > pid; echo; exec sleep 100'")
    assert isinstance(cell.error, KeyboardInterrupt)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_notebook_b2_an_interrupt_before_anything_runs_is_one_line(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dockmagic.magics.docker_lines.Lines._parsed", interrupted)
    assert "interrupted: %docker stopped after 0 s" in run("%docker ps").traceback[0]


def test_a_cell_may_go_on_after_a_line_that_fails(run: Any, engine: Any) -> None:
    cell = run(
        "%%docker --no-raise-error\ndocker rm nosuch\nfalse\ndocker run -d --name web httpd\n"
    )
    assert cell.error is None
    assert "No such container: nosuch" in cell.stderr
    assert "false exited with 1\n" in cell.stderr
    assert list(engine.created) == ["web"]


def test_an_error_of_the_shell_names_the_whole_command(run: Any) -> None:
    cell = run("%%docker\necho x | grep -q nothing")
    assert cell.traceback[0] == "echo x | grep -q nothing exited with 1"
