"""What every line magic has in common: names, results, the notebook's own flags."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic import commands
from dockmagic.errors import ContainerExitError
from dockmagic.magics import VERB_MAGICS, MagicEntry
from dockmagic.magics.failures import for_cells
from dockmagic.magics.notebook_flags import flags_first, target


def shown(stdout: str) -> int:
    return stdout.count("STATUS")


@pytest.mark.parametrize(
    "cell",
    [
        "%docker ps -a\n%docker ps -a",
        "for i in range(2):\n    %docker ps -a\n",
        "for i in range(2):\n    if i >= 0:\n        %ps -a\n1",
        "def both():\n    %docker ps -a\n    %ps -a\n\nboth()",
        "%%docker\nps -a\nps -a",
        "%docker ps -a; docker ps -a",
    ],
)
def test_notebook_f8_each_line_shows_its_result(run: Any, cell: str) -> None:
    ran = run(cell)
    assert ran.error is None
    assert shown(ran.stdout) == 2, ran.stdout


def test_a_result_that_is_kept_or_silenced_is_not_shown(run: Any) -> None:
    assert shown(run("x = %docker ps\n1").stdout) == 0
    assert shown(run("for _ in range(2):\n    x = %docker ps\n").stdout) == 0
    assert shown(run("%docker ps;\n%ps;\n1").stdout) == 0
    assert shown(run("%docker ps").stdout) == 1  # the cell's value, by IPython


@pytest.mark.parametrize(("interactivity", "count"), [("all", 2), ("none", 1)])
def test_what_ipython_shows_by_itself_is_shown_once(
    shell: Any, run: Any, interactivity: str, count: int
) -> None:
    shell.ast_node_interactivity = interactivity
    assert shown(run("%docker ps\n%docker ps").stdout) == count


def test_a_cell_without_our_magics_is_left_as_it_is(run: Any) -> None:
    cell = run("%time 1\nget_ipython().run_line_magic('pwd', '')\n'x'")
    assert cell.value == "x"
    assert cell.stdout.count("\n") < 5


def test_each_verb_is_a_magic(shell: Any, run: Any, engine: Any) -> None:
    magics = shell.magics_manager.magics["line"]
    assert set(VERB_MAGICS) <= set(magics)
    run("%create --name web httpd")
    assert run("%start web").error is None
    assert run("%kill web").error is None
    assert run("%container ls -a").error is None
    assert "Usage:  %volume COMMAND" in shell.object_inspect("%volume")["docstring"]
    assert "%system_df [OPTIONS]" in shell.object_inspect("%system_df")["docstring"]


def test_only_names_that_ipython_has_are_no_magics(shell: Any) -> None:
    magics = shell.magics_manager.magics["line"]
    missing = [name for name in commands.names() if type(magics.get(name)) is not MagicEntry]
    assert missing == ["cp", "history", "load", "run", "save", "system"]


@pytest.mark.parametrize(
    ("line", "of_magic", "expected"),
    [
        ("exec web sh --no-raise-error", True, "exec --no-raise-error web sh"),
        ("run x sh --out o --err=e -c y", True, "run --out o --err=e x sh -c y"),
        ("run x sh -- --out o", True, "run x sh -- --out o"),
        ("run x gcc --out o.elf", True, "run x gcc --out o.elf"),
        ("run x gcc --out o --no-raise-error", False, "run --no-raise-error x gcc --out o"),
        ("container run x --bg", True, "container run --bg x"),
        ("run x --bg", False, "run x --bg"),
        ("exec web -i -e A=1 --user=me python -i", True, "exec -i -e A=1 --user=me web python -i"),
        ("exec web -i python", False, "exec web -i python"),
        ("exec -t web -i python", True, "exec -t -i web python"),
        ("ps --out", True, "ps --out"),
        ("nosuch --out o", True, "nosuch --out o"),
    ],
)
def test_the_notebooks_flags_stand_anywhere(line: str, of_magic: bool, expected: str) -> None:
    assert flags_first(line.split(), of_magic=of_magic) == expected.split()


def test_notebook_b13_no_raise_error_behind_the_command(run: Any, engine: Any) -> None:
    run("%docker run -d --name web httpd")
    engine.process.code = 3
    for line in (
        "%exec web sh -c 'exit 3' --no-raise-error",
        "%docker exec web x --no-raise-error",
    ):
        cell = run(line)
        assert cell.error is None
        assert cell.value.exit_code == 3
    assert isinstance(run("%exec web sh -- --no-raise-error").error, ContainerExitError)


def test_notebook_b13_flags_of_exec_behind_the_name(run: Any, engine: Any) -> None:
    run("%docker run -d --name web httpd")
    cell = run("%%exec web -i python\nprint(1)\n")
    assert cell.error is None
    assert engine.calls[-1][2].command == ("python",)
    assert engine.calls[-1][2].open_stdin


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x << ps -a", ("x", False, "ps -a")),
        ("x= << ps", ("x", True, "ps")),
        ("ps -a", ("", True, "ps -a")),
        ("exec web cat <<EOF", ("", True, "exec web cat <<EOF")),
    ],
)
def test_a_line_may_name_its_variable(line: str, expected: tuple[str, bool, str]) -> None:
    assert target(line) == expected


def test_the_result_goes_into_the_named_variable(shell: Any, run: Any) -> None:
    assert run("%docker x << ps -a").value is None
    assert shell.user_ns["x"].exit_code == 0
    assert run("%ps y= << -a").value is shell.user_ns["y"]
    run("%%run_container z << httpd sh\necho\n")
    assert shell.user_ns["z"].exit_code == 0


def test_a_job_runs_in_the_background(shell: Any, run: Any, engine: Any) -> None:
    engine.process.code = 3
    run("job = %run_container --bg --no-raise-error httpd sleep 3")
    job = shell.user_ns["job"]
    assert job.wait(10).exit_code == 3
    assert (job.done, job.exit_code) == (True, 3)
    assert repr(job) == "docker run --no-raise-error httpd sleep 3: exited with 3"
    run("job = %run_container httpd false --bg")
    with pytest.raises(ContainerExitError):
        shell.user_ns["job"].wait(10)
    assert "unknown flag" in run("%run_container --nosuch --bg httpd").traceback[0]


def test_notebook_b23_a_name_of_another_kind_is_pointed_out(run: Any) -> None:
    run("%docker run -d --name web httpd")
    hint = "web is a container; its image is httpd"
    for line in ("%layers web", "%docker history web", "%docker image inspect web"):
        assert hint in run(line).traceback[-1], line
    for line in ("%diff httpd", "%docker rm httpd"):
        assert "httpd is an image: '%docker ps -a --filter" in run(line).traceback[-1], line
    assert len(run("%diff nothing").traceback) == 1


@pytest.mark.parametrize(("answer", "ends"), [("y", True), ("n", False), ("", False)])
def test_a_question_is_asked_in_the_cell(
    run: Any, engine: Any, monkeypatch: pytest.MonkeyPatch, answer: str, ends: bool
) -> None:
    asked: list[str] = []

    def reply(prompt: str) -> str:
        asked.append(prompt)
        return answer

    monkeypatch.setattr("dockmagic.commands.ask.can_ask", lambda: True)
    monkeypatch.setattr("dockmagic.magics.questions.input", reply, raising=False)
    run("%docker create --name web httpd")
    cell = run("%docker container prune")
    assert cell.error is None
    assert asked[0].endswith("Are you sure you want to continue? [y/N] ")
    assert (cell.value is not None) is ends


def test_where_no_user_can_be_asked_the_error_names_the_flag(run: Any) -> None:
    assert "--force" in run("%docker container prune").traceback[-1]


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("See 'docker run --help'.", "See '%docker run --help'."),
        ("sure: docker system prune --force", "sure: %docker system prune --force"),
        ("write '%docker ps' or /usr/bin/docker ps", "write '%docker ps' or /usr/bin/docker ps"),
        ("install docker first", "install docker first"),
    ],
)
def test_notebook_b6_a_hint_can_be_followed_for_cells(hint: str, shown: str) -> None:
    assert for_cells(hint) == shown
