"""A fake engine, and a real IPython shell that uses it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dockmagic.session
from dockmagic.cli import main
from dockmagic.session import Session

from .fake_engine import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def session(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The process's session, with the fake in it."""
    session = Session()
    session.use(engine)
    monkeypatch.setattr(dockmagic.session, "_current", session)
    return session


@pytest.fixture
def shell(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A real shell, history off, in a folder of its own, with the extension loaded."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKMAGIC_ROOT", str(tmp_path / "area"))
    for name in ("DOCKMAGIC_RENDER", "DOCKMAGIC_DETERMINISTIC"):
        monkeypatch.delenv(name, raising=False)
    config = Config()
    config.HistoryManager.enabled = False
    config.DockMagic.warm_up = False  # a thread of its own would meet the test's fakes half-way
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    monkeypatch.setattr(shell.displayhook, "write_output_prompt", lambda: None)
    monkeypatch.setattr(shell, "_showtraceback", lambda *_: None)
    shell.run_line_magic("load_ext", "dockmagic")
    yield shell
    shell.run_line_magic("unload_ext", "dockmagic")
    InteractiveShell.clear_instance()


@pytest.fixture(name="dockmagic")
def command_line(session: Any, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a line; exit code, stdout, stderr."""

    def run(line: str | list[str]) -> tuple[int, str, str]:
        words = line.split() if isinstance(line, str) else line
        code = main(words, session)
        out, err = capfd.readouterr()
        return code, out, err

    return run


@dataclass
class Cell:
    """What one cell did."""

    value: Any
    stdout: str
    stderr: str
    error: BaseException | None

    @property
    def traceback(self) -> list[str]:
        render = getattr(self.error, "_render_traceback_", None)
        assert render is not None, f"not shown in one line: {self.error!r}"
        return list(render())


@pytest.fixture
def run(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a cell's text as a front end does."""

    def run_cell(source: str) -> Cell:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", err)
            result = shell.run_cell(source, store_history=False)
        error = result.error_in_exec or result.error_before_exec
        return Cell(result.result, out.getvalue(), err.getvalue(), error)

    return run_cell
