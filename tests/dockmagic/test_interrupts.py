"""Stop, and ^C in a terminal: one grey line, and the cells below do not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dockmagic.errors import Interrupted


def interrupted(*_: Any, **__: Any) -> Iterator[Any]:
    yield from ()
    raise KeyboardInterrupt


def line(cell: Any) -> str:
    """The one line of the error output."""
    assert isinstance(cell.error, KeyboardInterrupt)
    (text,) = cell.traceback
    assert text.startswith("\x1b[90m■ interrupted: ")
    return str(text.removeprefix("\x1b[90m■ interrupted: ").removesuffix("\x1b[0m"))


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next output of a container is interrupted."""

    def write(*_: Any, **__: Any) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("dockmagic.magics.streams.Streams.write", write)


def test_notebook_b2_a_container_in_the_foreground_is_ended(
    run: Any, engine: Any, interrupt: None
) -> None:
    engine.process.waits_for = "INT"
    cell = run("%run_container --name web httpd x")
    assert engine.process.signals[0] == "INT"
    assert line(cell) == f"web stopped (exit {engine.process.code}) after 0 s"


def test_notebook_b2_the_reply_is_an_error_so_that_later_cells_do_not_run(
    run: Any, shell: Any, engine: Any, interrupt: None
) -> None:
    engine.process.waits_for = "INT"
    result = shell.run_cell("%run_container httpd x")
    assert not result.success


@pytest.mark.parametrize(
    ("source", "api", "call", "expected"),
    [
        ("%docker logs -f web", "containers", "logs", "no longer following web, which goes on"),
        ("%docker wait web", "containers", "wait", "no longer waiting for web"),
        ("%docker stop web", "containers", "stop", "no longer waiting for web to stop"),
        ("%docker events --until 9999999999", "system", "events", "no longer following events"),
        ("%stats web", "containers", "stats", "no longer following statistics"),
        ("%pull busybox", "images", "pull", "pull stopped, layers that are whole are kept"),
        ("%docker build .", "images", "build", "stopped"),
    ],
)
def test_notebook_b2_every_command_that_waits_says_what_became_of_it(
    source: str, api: str, call: str, expected: str, run: Any, engine: Any, tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "Dockerfile").write_text("FROM httpd\n")
    run("%docker run -d --name web httpd")

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    is_stream = call in ("logs", "events", "pull", "build")
    monkeypatch.setattr(getattr(engine, api), call, interrupted if is_stream else stop)
    assert line(run(source)) == f"{expected} after 0 s"


def test_notebook_b2_a_build_says_where_it_was(
    run: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = engine.images.build

    def broken(request: Any) -> Iterator[Any]:
        events = build(request)
        yield next(events)
        yield next(events)
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.images, "build", broken)
    assert line(run("%%dockerfile -t x\nFROM httpd\nRUN sleep 9\n")).startswith("build stopped at ")


def test_notebook_b2_waiting_by_a_method_is_interrupted_as_shortly(
    run: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("web = %docker run -d --name web httpd")

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.containers, "wait", stop)
    assert line(run("web.wait()")) == "no longer waiting for web after 0 s"


def test_the_time_is_in_minutes_when_it_is_long() -> None:
    assert str(Interrupted("web stopped (exit 0)", 6.4)).endswith("after 6 s")
    assert str(Interrupted("x", 125)) == "interrupted: x after 2 min 5 s"
