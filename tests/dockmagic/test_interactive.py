"""Commands that want a keyboard: in a page, in IPython in a terminal, and where there is none."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from dockmagic.commands.output.result import Finished
from dockmagic.magics.interactive import Terminal

from .fake_engine import FakeEngine
from .test_terminal_stream import LIMIT, Program

LINES = (
    "%docker run -it --name box busybox",
    "%docker exec -it web sh",
    "%docker attach shell",
    "%docker start -ai shell",
)


@pytest.fixture
def program(engine: FakeEngine, run: Any) -> Program:
    """The process that the fake engine attaches to; `web` and `shell` run."""
    run("%docker run -d --name web httpd")
    run("%docker run -dit --name shell busybox")
    engine.process = Program()
    return engine.process


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, shell: Any) -> list[dict[str, Any]]:
    """A page that draws live outputs; what it was shown, without other outputs."""
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("dockmagic.magics.has_page", lambda _: True)
    publish = shell.display_pub.publish

    def keep(data: dict[str, Any], **others: Any) -> None:
        shown.append(data) if others.get("transient") else publish(data, **others)

    monkeypatch.setattr(shell.display_pub, "publish", keep)
    return shown


@pytest.mark.parametrize("line", LINES)
def test_notebook_b6_in_a_page_the_cell_returns_with_a_terminal(
    run: Any, program: Program, page: list[dict[str, Any]], line: str
) -> None:
    cell = run(line)
    assert isinstance(cell.value, Terminal)
    assert (cell.stdout, cell.stderr) == ("", "")
    assert cell.value.is_open
    assert set(page[0]) == {"text/html", "text/plain"}
    assert "data-dm-view" in page[0]["text/html"]
    cell.value.write("ls\r")
    program.given.put(b"\x1b[32mfile\x1b[m <b>\r\n")
    program.exit(3)
    assert cell.value.wait(LIMIT) == cell.value.exit_code == 3
    assert bytes(program.stdin) in (b"", b"ls\r")  # it may have ended before
    assert page[-1]["text/plain"] == cell.value.text == "file <b>"
    assert "file" in page[-1]["text/html"]
    assert "&lt;b&gt;" in page[-1]["text/html"]
    assert "exited (3)" in page[-1]["text/html"]
    assert "data-dm-view" not in page[-1]["text/html"]


@pytest.mark.usefixtures("page")
def test_no_thread_is_left_of_a_terminal_whatever_ends_it(run: Any, program: Program) -> None:
    for end in (Terminal.detach, Terminal.close, lambda _: run("%unload_ext dockmagic")):
        cell = run("%docker attach shell")
        end(cell.value)
        if end is Terminal.close:
            assert "HUP" in program.signals
            program.exit(129)
        cell.value.wait(LIMIT)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("dockmagic-terminal")]
    run("%load_ext dockmagic")


@pytest.mark.usefixtures("page")
def test_the_object_says_how_it_stands(run: Any, program: Program) -> None:
    cell = run("t = %docker attach shell\nt")
    assert repr(cell.value) == "terminal of shell"
    with pytest.raises(TimeoutError, match="is still open"):
        cell.value.wait(0)
    cell.value.detach()
    cell.value.wait(LIMIT)
    assert repr(cell.value) == "terminal of shell, detached"


def test_notebook_b3_without_a_keyboard_attach_returns_at_once(run: Any, program: Program) -> None:
    for line in LINES[2:]:
        program.detached = False
        cell = run(line)
        assert cell.error is None
        assert program.detached
        assert "A cell is no terminal here" in cell.stderr
        assert "%logs shell" in cell.stderr


def test_notebook_b6_in_ipython_in_a_terminal_it_is_that_terminal(
    run: Any, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = []

    def attach(value: Any) -> Finished:
        attached.append((value.process, value.tty, value.stdin))
        return Finished(value.name, 7)

    monkeypatch.setattr("dockmagic.terminal.attach", attach)
    monkeypatch.setattr(
        "dockmagic.magics.interactive.sys",
        SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True),
                        stdout=SimpleNamespace(isatty=lambda: True)),
    )  # fmt: skip
    for line in LINES:
        cell = run(line)
        assert (cell.error, cell.stderr, cell.value.exit_code) == (None, "", 7)
    assert attached == [(program, True, True)] * len(LINES)
