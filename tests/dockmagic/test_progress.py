"""A build drawn in place: what a terminal shows after all that was written to it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from dockmagic.cli import main
from dockmagic.progress import BuildDisplay
from dockmagic_runtime.model.build import (
    BuildStarted,
    BuildWarning,
    StepDone,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.progress import PullStatus


class Terminal(io.StringIO):
    """Knows what is on the screen: only whole lines are written, and only the last are erased."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        shown: list[str] = []
        for part in re.split(r"(\x1b\[\d+F\x1b\[J)", self.getvalue()):
            if moved := re.match(r"\x1b\[(\d+)F", part):
                assert int(moved[1]) <= len(shown)
                del shown[len(shown) - int(moved[1]) :]
            else:
                shown += part.split("\n")[:-1]
        return [re.sub(r"\x1b\[\d*m", "", line) for line in shown]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "61")
    monkeypatch.setenv("LINES", "12")
    return Terminal()


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def display(terminal: Terminal, now: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("dockmagic.progress._INTERVAL", 3600)  # the test draws
    return BuildDisplay(terminal, lambda: now[0])


def test_what_runs_is_drawn_anew_and_what_is_done_stays(
    display: BuildDisplay, terminal: Terminal, now: list[float]
) -> None:
    display.take(BuildStarted(steps=3, warnings=(BuildWarning(text="unwise"),)))
    display.take(StepStarted(number=1, instruction="FROM a", line=1))
    display.take(StepDone(number=1, cached=True, seconds=0.0))
    display.take(StepStarted(number=2, instruction="RUN  make", line=2))
    now[0] = 1.25
    for number in range(9):
        display.take(StepOutput(number=2, stream="stdout", data=b"line %d\n" % number))
    for _ in range(3):
        display._draw()
    assert terminal.lines == [
        "[Warning] unwise",
        f"{' => CACHED [1/3] FROM a':<55} 0.0s",
        "[+] Building 1.2s (1/3)",
        f"{' => [2/3] RUN make':<55} 1.2s",
        *(f" => => # line {number}" for number in range(3, 9)),
    ]
    display.take(StepDone(number=2, cached=False, seconds=1.5))
    display.take(PullStatus(status="exporting cache to x"))
    display.close()
    assert terminal.lines[2:] == [
        f"{' => [2/3] RUN make':<55} 1.5s",
        " => exporting cache to x",
        "[+] Building 1.2s (2/3) FINISHED",
    ]
    assert display.take(object()) is False


def test_a_failure_leaves_all_that_its_step_has_said(
    display: BuildDisplay, terminal: Terminal
) -> None:
    display.take(BuildStarted(steps=2, stages=2))
    for number in (1, 2):
        display.take(StepStarted(number=number, instruction=f"RUN {number}", line=number))
        display.take(StepOutput(number=number, stream="stderr", data=b"\x1b[2Jwhy\n" * 9))
    display._draw()
    display.close(1)
    assert terminal.lines == [" => ERROR [1/2] RUN 1", *[" => => # why"] * 9]


def test_a_build_of_many_stages_fits_on_the_screen(
    display: BuildDisplay, terminal: Terminal
) -> None:
    display.take(BuildStarted(steps=40))
    for number in range(1, 41):
        display.take(StepStarted(number=number, instruction="RUN " + "x" * 200, line=1))
    display._draw()
    display._draw()
    assert len(terminal.lines) == 10
    assert all(len(line) <= 60 for line in terminal.lines)
    display.close()


def test_a_terminal_gets_it_and_nothing_else_does(
    session: Any, engine: Any, terminal: Terminal, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    assert main(["build", str(tmp_path)], session) == 0
    assert capsys.readouterr().out.startswith("Step 1 : ")
    assert main(["build", "--progress", "tty", str(tmp_path)], session) == 1
    assert "failed to get console" in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr", terminal)
    for words in (["--progress", "plain"], ["-q"]):
        main(["build", *words, str(tmp_path)], session)
        assert terminal.getvalue() == ""
    capsys.readouterr()
    assert main(["build", str(tmp_path)], session) == 0
    assert terminal.lines[-1].endswith("FINISHED")
    assert capsys.readouterr().out.startswith("Successfully built ")
    engine.build_fails = True
    assert main(["build", str(tmp_path)], session) == 1
    assert any(line.startswith(" => ERROR [2/2] RUN make") for line in terminal.lines)
    assert "exit code: 2" in terminal.lines[-3]
