"""One object for a container, wherever it comes from, and tables to go on working with."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from dockmagic.errors import ContainerExitError, MagicError


@pytest.fixture
def web(run: Any) -> Any:
    return run("web = %docker run -d --name web httpd\nweb").value


def test_notebook_b11_a_handle_a_row_and_an_element_of_a_loop_are_one(run: Any, web: Any) -> None:
    run("%docker run -d --name db httpd")
    table = run("%ps").value
    (from_loop,) = [container for container in table if container.name == "web"]
    index = table.names.index("web")
    assert web == table[index] == table["web"] == from_loop
    assert len({web, table["web"], from_loop}) == 1
    assert web != table["db"]
    assert web in table
    assert "web" in table
    assert table["web"].stop().status == "exited"


def test_notebook_b11_rows_of_images_are_images(run: Any) -> None:
    (image,) = run("%images").value
    assert image.tags == ("httpd:latest",)
    assert run("%images").value["httpd:latest"] == image


def test_a_name_that_no_row_has_is_an_error_with_a_suggestion(run: Any, web: Any) -> None:
    table = run("%ps").value
    with pytest.raises(MagicError, match=r"no row is named 'wbe'.*did you mean web"):
        table["wbe"]
    assert table._ipython_key_completions_() == ["web"]


def test_notebook_b11_completion_offers_what_a_user_wants(run: Any, web: Any) -> None:
    assert dir(run("%ps").value) == ["df", "names", "rows", "text"]
    offered = set(dir(web))
    assert {"attrs", "commit", "diff", "exec", "exec_run", "kill", "labels", "logs", "name",
            "pause", "ports", "reload", "remove", "rename", "restart", "start", "stats", "status",
            "stop", "top", "unpause", "wait"} <= offered  # docker-py's  # fmt: skip
    assert not [name for name in offered if name.startswith("_")]


def test_notebook_b11_a_command_by_a_method_shows_what_the_magic_shows(
    run: Any, engine: Any, web: Any
) -> None:
    engine.process.pieces = [("stdout", b"motd\n"), ("stderr", b"ls: /nope: No such file\n")]
    engine.process.code = 2
    by_method, by_magic = run("web.exec('ls /nope')"), run("%exec web ls /nope")
    assert (by_method.stdout, by_method.stderr) == (by_magic.stdout, by_magic.stderr)
    assert by_method.stderr == "ls: /nope: No such file\n"
    assert isinstance(by_method.error, ContainerExitError)
    assert by_method.traceback == by_magic.traceback
    completed = run("web.exec('ls /nope', check=False)").value
    assert (completed.exit_code, completed.stdout) == (2, "motd\n")


def test_exec_run_is_docker_pys(run: Any, engine: Any, web: Any) -> None:
    engine.process.pieces = [("stdout", b"\x1b[31mraw\n")]
    engine.process.code = 3
    cell = run("_ = web.exec_run('x')")
    assert (cell.stdout, cell.error) == ("", None)
    code, output = web.exec_run("x")
    assert (code, output) == (3, b"\x1b[31mraw\n")


def test_what_a_container_is_can_be_shown_without_the_extensions_formatters(web: Any) -> None:
    bundle = web._repr_mimebundle_()
    assert "web" in bundle["text/plain"]
    assert "dm-head" in bundle["text/html"]
    web.remove(force=True)
    assert web._repr_mimebundle_() == {"text/plain": "a container that was removed"}


def test_attributes_and_the_rest_of_docker_pys_methods(run: Any, engine: Any, web: Any) -> None:
    assert web.attrs == web.inspect()
    web.reload()
    web.rename("site")
    assert engine.calls[-1][0] == "rename"
    assert "PID" in str(web.top())


def test_every_table_has_a_data_frame(run: Any, web: Any) -> None:
    for line in ("%ps", "%images", "%layers httpd", "%docker network ls", "%docker volume ls"):
        table = run(line).value
        assert list(table.df.to_dict("records")) == table.rows(), line


def test_without_pandas_a_data_frame_is_a_clear_error(
    run: Any, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MagicError, match="a data frame needs pandas"):
        _ = run("%ps").value.df
    assert run("%ps").value.rows()[0]["name"] == "web"
