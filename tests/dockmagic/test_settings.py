"""What a notebook and its project may set, and what %load_ext does in the background."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dockmagic.magics.project import project_settings


@pytest.fixture
def reload(shell: Any, run: Any, session: Any, engine: Any, tmp_path: Path) -> Any:
    """Load the extension again, below a pyproject.toml with this text."""

    def load(text: str) -> Any:
        (tmp_path / "pyproject.toml").write_text(text)
        run("%unload_ext dockmagic")
        session.use(engine)
        return run("%load_ext dockmagic")

    return load


def settings(shell: Any) -> Any:
    return shell._dockmagic_extension.settings


def test_notebook_b23_a_project_sets_what_its_notebooks_need(shell: Any, reload: Any) -> None:
    cell = reload("[tool.dockmagic]\ndeterministic = true\noutput-lines = 50\nlog_size = '1m'\n")
    assert cell.stderr == ""
    assert settings(shell).deterministic
    assert settings(shell).output_lines == 50
    assert settings(shell).log_options == {"max-size": "1m", "max-file": "3"}


def test_ipythons_own_configuration_goes_before_the_projects(shell: Any, reload: Any) -> None:
    shell.config.DockMagic.output_lines = 70
    reload("[tool.dockmagic]\noutput_lines = 50\nrender = 'text'\n")
    assert settings(shell).output_lines == 70
    assert settings(shell).render == "text"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tool.dockmagic]\ndeterministc = true\n", "deterministc: there is no such setting"),
        ("[tool.dockmagic]\ndeterministc = true\n", "did you mean deterministic"),
        ("[tool.dockmagic]\noutput_lines = 'x'\n", "output_lines"),
        ("[tool.dockmagic]\nlog_size = 'big'\n", "log_size is a number"),
        ("[tool.dockmagic\n", "pyproject.toml"),
    ],
)
def test_a_mistake_in_the_project_is_said_and_loading_goes_on(
    reload: Any, run: Any, text: str, complaint: str
) -> None:
    assert complaint in reload(text).stderr
    assert run("%ps").error is None


def test_the_nearest_project_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.dockmagic]\nrender = 'text'\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert project_settings(inner)[0] == {"render": "text"}
    (inner / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert project_settings(inner)[0] == {}


def test_notebook_b5_containers_of_a_cell_have_a_bounded_log(shell: Any, session: Any) -> None:
    assert session._default_log_options == {"max-size": "10m", "max-file": "3"}
    settings(shell).log_size = ""
    assert session._default_log_options == {}


def test_what_the_first_magic_needs_is_loaded_in_the_background(shell: Any, reload: Any) -> None:
    shell.config.DockMagic.warm_up = True
    reload("")
    extension = shell._dockmagic_extension
    extension._warm_up.join()
    assert extension._tools is not None
    assert "dockmagic-warm-up" not in {thread.name for thread in threading.enumerate()}


def test_a_warm_up_that_fails_is_silent_and_the_magic_says_why(
    shell: Any, run: Any, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockmagic_runtime.errors import Unsupported

    def refuse(_: Any, **__: Any) -> Any:
        raise Unsupported("this host has no overlay")

    shell.config.DockMagic.warm_up = True
    run("%unload_ext dockmagic")
    monkeypatch.setattr(session, "_is_ours", True)
    monkeypatch.setattr(type(session), "_make", refuse)
    cell = run("%load_ext dockmagic")
    assert (cell.stdout, cell.stderr, cell.error) == ("", "", None)
    shell._dockmagic_extension._warm_up.join()
    assert run("%ps").traceback[0] == "this host has no overlay"
