"""The magics in a real IPython shell."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from dockmagic.errors import ContainerExitError, MagicError
from dockmagic.widgets.sanitize import clean
from dockmagic_runtime.model.container import PortMapping


def plain(shell: Any, value: Any) -> str:
    data, _ = shell.display_formatter.format(value)
    return str(data["text/plain"])


def html(shell: Any, value: Any) -> str:
    data, _ = shell.display_formatter.format(value)
    return str(data["text/html"])


def test_run_container_detached_gives_a_handle(run: Any, shell: Any, engine: Any) -> None:
    # WHEN
    cell = run("web = %run_container -d -p 9999:80 --name web httpd\nweb")
    # THEN
    assert cell.error is None
    expected = "web  httpd  Up 3 years  0.0.0.0:9999->80/tcp  010101010101"
    assert re.sub(r"\d+ years", "3 years", plain(shell, cell.value)) == expected
    assert cell.value.ports == {"80/tcp": 9999}
    assert cell.value.ip_address == "172.17.0.2"
    assert engine.calls[-1][1].ports == (PortMapping(container_port=80, host_port=9999),)


def test_docker_run_works_after_a_percent_sign(run: Any, engine: Any) -> None:
    assert run("%docker run -d --name web httpd").error is None
    assert engine.created["web"].image == "httpd"


def test_foreground_streams_to_the_cell_and_shows_nothing_else(run: Any, shell: Any) -> None:
    cell = run("%run_container httpd echo hello")
    assert (cell.stdout, cell.stderr) == ("hello\n", "")
    assert cell.value.stdout == "hello\n"
    assert shell.display_formatter.format(cell.value) == ({}, {})


def test_non_zero_exit_is_a_real_error_of_one_line(run: Any, engine: Any) -> None:
    engine.process.code = 3
    cell = run("%run_container --name xx httpd false")
    assert isinstance(cell.error, ContainerExitError)
    assert cell.traceback[0] == "xx exited with 3"
    assert cell.error.exit_code == 3


def test_no_raise_error_returns_the_exit_code(run: Any, engine: Any) -> None:
    engine.process.code = 3
    cell = run("%run_container --no-raise-error httpd false")
    assert cell.error is None
    assert cell.value.exit_code == 3


def test_out_and_err_go_to_variables(run: Any, shell: Any, engine: Any) -> None:
    engine.process.pieces = [("stdout", b"one\n"), ("stderr", b"two\n")]
    cell = run("%run_container --out o --err e httpd x")
    assert (cell.stdout, cell.stderr) == ("", "")
    assert (shell.user_ns["o"], shell.user_ns["e"]) == ("one\n", "two\n")


def test_missing_command_names_the_reason(run: Any) -> None:
    cell = run("%docker run httpd missing")
    assert isinstance(cell.error, MagicError)
    assert cell.error.exit_code == 127
    assert "executable file not found" in cell.traceback[0]


def test_unknown_flag_is_an_error_output_with_a_suggestion(run: Any) -> None:
    cell = run("%docker run --nmae x httpd")
    assert cell.traceback == [
        "unknown flag: --nmae",
        "  did you mean --name? See '%docker run --help'.",
    ]


def test_a_missing_image_is_pulled_first(run: Any, engine: Any) -> None:
    cell = run("%docker run -d busybox")
    assert "Unable to find image 'busybox:latest' locally" in cell.stderr
    assert "Status: Downloaded newer image for busybox:latest" in cell.stdout
    assert ("pull", "busybox") in engine.calls


def test_pull_never_does_not(run: Any, engine: Any) -> None:
    cell = run("%docker run -d --pull never busybox")
    assert cell.traceback[0] == "No such image: busybox"
    assert not [call for call in engine.calls if call[0] == "pull"]


def test_cell_body_is_standard_input(run: Any, engine: Any) -> None:
    engine.process.pieces, engine.process.echoes = [], True
    cell = run("%%run_container httpd sh\necho $HOME {x}\n")
    assert cell.stdout == "echo $HOME {x}\n"
    assert engine.calls[-1][1].open_stdin


def test_exec_cell(run: Any, engine: Any) -> None:
    run("%docker run -d --name web httpd")
    cell = run("%exec web ls")
    assert cell.stdout == "hello\n"
    assert engine.calls[-1][2].command == ("ls",)


def test_help_prints_and_runs_nothing(run: Any, engine: Any) -> None:
    cell = run("%run_container --help")
    assert "Usage:  docker run [OPTIONS] IMAGE" in cell.stdout
    assert engine.calls == []


def test_question_mark_shows_the_parsers_help(shell: Any) -> None:
    info = shell.object_inspect("%run_container")
    assert "--publish" in info["docstring"]
    assert "%run_container [OPTIONS] IMAGE" in info["docstring"]


def test_notebook_b4_the_text_is_what_the_command_line_prints(
    run: Any, shell: Any, engine: Any
) -> None:
    run("%docker run -d --name web -p 80:80 httpd")
    for line in ("%ps", "%images", "%layers httpd", "%image_history httpd", "%stats web",
                 "%events", "%docker top web", "%docker info"):  # fmt: skip
        value = run(line).value
        assert plain(shell, value) == clean(str(value)), line
        assert plain(shell, value), line
    assert "CONTAINER ID" in plain(shell, run("%ps").value)
    assert "container create" in plain(shell, run("%events").value)


def test_notebook_b4_the_stable_text_comes_in_deterministic_mode_only(run: Any, shell: Any) -> None:
    run("%config DockMagic.deterministic = True")
    run("%docker run -d --name web -p 80:80 httpd")
    cell = run("%ps")
    assert plain(shell, cell.value) == (
        "NAMES     IMAGE     COMMAND              STATUS    PORTS\n"
        'web       httpd     "httpd-foreground"   Up        0.0.0.0:80->80/tcp'
    )
    assert "CONTAINER ID" in str(cell.value)


def test_deterministic_html_has_no_ids_and_ages(run: Any, shell: Any) -> None:
    run("%config DockMagic.deterministic = True")
    run("%docker run -d --name web httpd")
    for magic in ("%ps", "%images", "%layers httpd", "%stats web"):
        shown = html(shell, run(magic).value)
        assert "ago" not in shown
        assert "aaaaaaaaaaaa" not in shown
        assert "MB" not in shown


def test_text_mode_has_no_html(run: Any, shell: Any) -> None:
    run("%config DockMagic.render = 'text'")
    data, _ = shell.display_formatter.format(run("%ps").value)
    assert set(data) == {"text/plain"}


def test_ps_rows_are_a_data_frame(run: Any) -> None:
    import pandas

    run("%docker run -d --name web httpd")
    frame = run("%ps").value.df
    assert list(frame["name"]) == ["web"]
    assert frame["created"].dt.year.item() == 2023
    images = run("%images").value.df
    assert images["size"].sum() == 12_345_678
    for line in ("%layers httpd", "%image_history httpd", "%stats web", "%diff web", "%events"):
        table = run(line).value
        assert isinstance(table.df, pandas.DataFrame)
        assert len(table.df) == len(table)


def test_diff_is_exactly_dockers(run: Any, shell: Any) -> None:
    run("%docker run -d --name web httpd")
    cell = run("%diff web")
    assert plain(shell, cell.value) == "C /etc\nA /etc/motd\nD /srv/<img src=x>"
    assert "<img" not in html(shell, cell.value)
    assert "/etc/motd" in cell.value


def test_logs_are_shown_with_colours_and_nothing_worse(run: Any, shell: Any) -> None:
    run("%docker run -d --name web httpd")
    shown = plain(shell, run("%logs web").value)
    assert shown == "\x1b[31mred\x1b[0m\n<script>alert(1)</script>"


def test_row_49_container_output_is_never_markup(run: Any, shell: Any, engine: Any) -> None:
    engine.process.pieces = [
        ("stdout", b"<script>alert(1)</script>\x1b]8;;http://evil\x07click\x1b]8;;\x07"),
        ("stdout", b"\x1b]52;c;ZXZpbA==\x1b\\\x1b[31mred\x1b[0m\x9b\xc2\x9b2J\n"),
    ]
    cell = run("%run_container httpd x")
    assert cell.stdout == "<script>alert(1)</script>click\x1b[31mred\x1b[0m\ufffd\n"
    for line in ("%layers httpd", "%diff xx", "%docker ps -a"):
        run("%docker run -d --name xx httpd") if "xx" not in engine.created else None
        assert "<script>" not in html(shell, run(line).value)
        assert "<img" not in html(shell, run(line).value)


def test_a_pasted_session(run: Any, engine: Any) -> None:
    cell = run(
        "%%docker\n"
        "# start two\n"
        "$ docker run -d --name one \\\n    httpd\n"
        "docker run -d --name two httpd   # the second\n"
        "\n"
        "stop $(docker ps -a -q)\n"
        "docker rm $(docker ps -a -q)\n"
    )
    assert cell.error is None
    assert engine.created == {}
    assert "$ docker run -d --name one" in cell.stdout
    assert "$ stop $(docker ps -a -q)\n" in cell.stdout


def test_a_pasted_session_stops_at_the_first_failure(run: Any, engine: Any) -> None:
    cell = run("%%docker\ndocker stop nobody\ndocker run -d --name late httpd\n")
    assert cell.traceback[0] == "No such container: nobody"
    assert engine.created == {}


def test_several_names_of_which_one_fails(run: Any, engine: Any) -> None:
    run("%docker create --name one httpd")
    cell = run("%rm one two three")
    assert cell.stdout == "one\n"
    assert cell.traceback[0] == "No such container: two; No such container: three"
    assert engine.created == {}


def test_rm_of_a_file_says_what_it_is_for(run: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    cell = run("%rm notes.txt")
    assert cell.traceback[1] == "  %rm removes containers; for the file: !rm notes.txt"


def test_dockerfile_cell_builds_with_the_notebooks_folder(
    run: Any, shell: Any, engine: Any, tmp_path: Path
) -> None:
    cell = run("%%dockerfile -t mysite --build-arg A=1\nFROM httpd\nRUN echo $A {b}\n")
    request = engine.calls[-1][1]
    assert request.dockerfile == "FROM httpd\nRUN echo $A {b}\n"
    assert request.context == str(tmp_path)
    assert request.build_args == {"A": "1"}
    assert plain(shell, cell.value) == (
        "Successfully built dddddddddddd\nSuccessfully tagged mysite:latest"
    )
    shown = html(shell, cell.value)
    assert "cached" in shown
    assert "making &lt;b&gt;it&lt;/b&gt;" in shown


def test_a_failing_step_shows_what_it_said(run: Any, engine: Any) -> None:
    engine.build_fails = True
    cell = run("%%dockerfile -t mysite\nFROM httpd\nRUN make\n")
    assert cell.stderr == "making <b>it</b>\n"
    assert cell.traceback[0].endswith("exit code: 2\n   2 | RUN make\n     | ^")


def test_stats_come_once_in_a_notebook(run: Any, shell: Any) -> None:
    run("%docker run -d --name web httpd")
    cell = run("%docker container stats")
    assert cell.value[0].pids == 7
    assert "12.50%" in plain(shell, cell.value)
    assert "12.5 %" in html(shell, cell.value)


def test_expansion_of_variables_and_templates(run: Any, engine: Any) -> None:
    run("port, names = 8080, ['one', 'two']")
    run("%docker run -d --name one -p {port}:80 httpd")
    run("%docker run -d --name two -p $port:80 httpd")
    assert {c.ports[0].host_port for c in engine.created.values()} == {8080}
    assert str(run("%docker inspect -f '{{.State.Status}}' {names}").value) == "running\nrunning"


def test_a_missing_variable_is_named(run: Any) -> None:
    cell = run("%docker run -d {imgae}")
    assert cell.traceback[0] == "the notebook has no variable 'imgae'"


def test_local_variables_of_a_function(run: Any, engine: Any) -> None:
    run(
        "def start(label):\n"
        "    get_ipython().run_line_magic('docker', 'run -d --name {label} httpd')\n"
        "def outer():\n"
        "    tag = 'mine'\n"
        "    %docker run -d --name {tag} httpd\n"
        "outer()"
    )
    assert list(engine.created) == ["mine"]


def test_planned_verbs_and_flags_say_so(run: Any) -> None:
    assert "'docker swarm' is not supported yet" in run("%docker swarm init").traceback[0]
    assert "--use-api-socket" in run("%docker run --use-api-socket httpd").traceback[0]


def test_unknown_verb_is_suggested(run: Any) -> None:
    cell = run("%docker imagse")
    assert cell.traceback[0] == "unknown command: docker imagse"
    assert "did you mean images?" in cell.traceback[1]


def test_handles_do_the_verbs(run: Any, shell: Any, engine: Any) -> None:
    run("web = %docker run -d --name web httpd")
    web = shell.user_ns["web"]
    assert web.exec("ls /").stdout == "hello\n"
    assert len(web.logs(tail=1)) == 1
    assert web.diff().counts()["A"] == 1
    assert web.stats()[0].pids == 7
    assert web.pause().status == "paused"
    assert web.unpause().stop().status == "exited"
    assert web.wait() == 143
    web.remove()
    assert repr(web) == "a container that was removed"
    with pytest.raises(MagicError, match="No such container"):
        web.start()


def test_a_container_is_a_context_manager(run: Any, engine: Any) -> None:
    cell = run("web = %docker run -d --name web httpd\nwith web:\n    print(web.status)")
    assert cell.stdout == "running\n"
    assert engine.created == {}


def test_image_handle(run: Any, shell: Any) -> None:
    cell = run("%pull busybox")
    assert plain(shell, cell.value) == "busybox:latest  12.3MB  bbbbbbbbbbbb"
    assert cell.value.tags == ("busybox:latest",)
    assert len(cell.value.layers()) == 2
    assert "12.3MB" in html(shell, cell.value)


def test_stand_ins_are_labelled(run: Any, shell: Any, engine: Any) -> None:
    image = engine.known[0]
    image.config.labels["org.dockmagic.stand-in"] = "debian"
    cell = run("%images")
    assert "stand-in" in plain(shell, cell.value)
    assert "stand-in" in html(shell, cell.value)
    assert "stand-in" not in str(cell.value)


def test_unload_gives_the_names_back(shell: Any, run: Any, session: Any, engine: Any) -> None:
    run("%unload_ext dockmagic")
    assert "docker" not in shell.magics_manager.magics["line"]
    assert type(shell.magics_manager.magics["line"]["rm"]).__name__ == "MagicAlias" or callable(
        shell.magics_manager.magics["line"]["rm"]
    )
    run("%load_ext dockmagic")
    session.use(engine)
    assert run("%ps").error is None


def test_no_ipython_name_is_taken_but_rm(session: Any) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    from dockmagic.magics import VERB_MAGICS

    InteractiveShell.clear_instance()
    plain_shell = InteractiveShell.instance()
    taken = set(plain_shell.magics_manager.magics["line"]) & {*VERB_MAGICS, "docker"}
    InteractiveShell.clear_instance()
    assert taken <= {"rm"}


def test_commands_know_no_ipython() -> None:
    folder = Path(__import__("dockmagic.commands").commands.__file__).parent
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text())
        imports = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
        names = {getattr(n, "module", None) or n.names[0].name for n in imports}
        assert not any(name.startswith(("IPython", "ipywidgets")) for name in names), path.name
