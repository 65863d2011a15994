"""A build's progress as BuildKit's client prints it: in place, as lines, and as JSON."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dockmagic.cli import main
from dockmagic.progress.display import make, warning_lines
from dockmagic.progress.plain import PlainDisplay
from dockmagic.progress.rawjson import RawJsonDisplay
from dockmagic.progress.tty import TtyDisplay
from dockmagic_runtime.model.build import (
    BuildStarted,
    BuildWarning,
    StepDone,
    StepOutput,
    StepStarted,
    StepStatus,
)


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


STEPS = [
    StepStarted(number=1, name="[internal] load build definition from Dockerfile"),
    StepStatus(number=1, id="transferring dockerfile:", current=71, total=71, done=True),
    StepDone(number=1, seconds=0.0),
    StepStarted(number=2, name="[base 1/2] FROM a", instruction="FROM a", line=1),
    StepDone(number=2, cached=True),
    StepStarted(number=3, name="[base 2/2] RUN make", instruction="RUN make", line=2),
]


def plain(*events: object, failed: int = 0, reason: str = "") -> list[str]:
    stream = io.StringIO()
    display = PlainDisplay(stream, lambda: 1.25)
    for event in events:
        display.take(event)
    display.close(failed, reason)
    return stream.getvalue().splitlines()


@pytest.fixture
def display(terminal: Terminal, now: list[float], monkeypatch: pytest.MonkeyPatch) -> TtyDisplay:
    monkeypatch.setattr("dockmagic.progress.tty._INTERVAL", 3600)  # the test draws
    return TtyDisplay(terminal, lambda: now[0])


def test_builder_17_plain_lines_carry_step_numbers_names_and_outcomes() -> None:
    output = StepOutput(number=3, stream="stdout", data=b"hello\n")
    lines = plain(*STEPS, output, StepDone(number=3, seconds=0.1))
    assert lines[0] == '#0 building with "default" instance using docker driver'
    assert "#1 [internal] load build definition from Dockerfile" in lines
    assert "#2 [base 1/2] FROM a" in lines
    assert lines[lines.index("#2 [base 1/2] FROM a") + 1] == "#2 CACHED"
    assert lines[lines.index("#3 [base 2/2] RUN make") + 1 :] == [
        "#3 0.000 hello",
        "#3 DONE 0.0s",
    ]


def test_builder_17_a_failed_step_repeats_its_last_lines_between_rules() -> None:
    output = StepOutput(number=3, stream="stderr", data=b"why\n")
    lines = plain(*STEPS, output, failed=3, reason="exit code: 1")
    assert "#3 ERROR: exit code: 1" in lines
    end = lines.index("#3 ERROR: exit code: 1")
    assert lines[end + 1 :] == ["------", " > [base 2/2] RUN make:", "0.000 why", "------"]


def test_builder_17_output_of_two_steps_does_not_mix() -> None:
    lines = plain(
        *STEPS,
        StepStarted(number=4, name="[other 1/1] RUN other"),
        StepOutput(number=3, stream="stdout", data=b"one\n"),
        StepOutput(number=4, stream="stdout", data=b"two\n"),
        StepOutput(number=3, stream="stdout", data=b"one\n"),
        StepDone(number=3, seconds=0.1),
        StepDone(number=4, seconds=0.1),
    )
    first = [line for line in lines if line.startswith("#3 0.")]
    at = lines.index(first[0])
    assert lines[at : at + 2] == first
    assert lines.index("#4 0.000 two") > lines.index("#3 DONE 0.0s")


def test_builder_17_warnings_follow_the_build() -> None:
    warnings = (
        BuildWarning(text="MaintainerDeprecated: use a label (line 2)", rule="X", line=2),
        BuildWarning(text="Y: unwise (line 3)", rule="Y", line=3),
    )
    assert warning_lines(warnings, in_full=False, colored=False) == [
        "",
        " 2 warnings found (use docker --debug to expand):",
        " - MaintainerDeprecated: use a label (line 2)",
        " - Y: unwise (line 3)",
    ]
    assert warning_lines((), in_full=False, colored=False) == []


def test_builder_17_rawjson_has_a_vertex_for_each_step() -> None:
    stream = io.StringIO()
    display = RawJsonDisplay(stream)
    for event in (*STEPS, StepOutput(number=3, stream="stderr", data=b"no\n")):
        assert display.take(event)
    display.close(3, "exit code: 1")
    assert not display.take(object())
    documents = [json.loads(line) for line in stream.getvalue().splitlines()]
    vertexes = [vertex for document in documents for vertex in document.get("vertexes", ())]
    names = {vertex["digest"]: vertex["name"] for vertex in vertexes}
    assert len(names) == 3
    assert vertexes[-1]["error"] == "exit code: 1"
    (log,) = (document["logs"][0] for document in documents if "logs" in document)
    assert names[log["vertex"]] == "[base 2/2] RUN make"
    assert (log["stream"], base64.b64decode(log["data"])) == (2, b"no\n")


def test_builder_17_what_runs_is_drawn_anew_and_what_is_done_stays(
    display: TtyDisplay, terminal: Terminal, now: list[float]
) -> None:
    display.take(BuildStarted(steps=2))
    for event in STEPS:
        display.take(event)
    now[0] = 1.25
    for number in range(9):
        display.take(StepOutput(number=3, stream="stdout", data=b"line %d\n" % number))
    for _ in range(3):
        display._draw()
    running = terminal.lines
    assert running[0].startswith("[+] Building 1.2s (2/3)")
    assert running[-6:] == [f" => => # line {number}" for number in range(3, 9)]
    display.take(StepDone(number=3, seconds=1.5))
    display.close()
    assert terminal.lines[0].startswith("[+] Building 1.2s (3/3) FINISHED")
    assert any(line.startswith(" => CACHED [base 1/2] FROM a") for line in terminal.lines)
    assert terminal.lines[-1].split() == ["=>", "[base", "2/2]", "RUN", "make", "1.2s"]
    assert display.take(object()) is False


def test_builder_17_a_failure_is_marked_and_its_output_shown_without_controls(
    display: TtyDisplay, terminal: Terminal
) -> None:
    for event in STEPS:
        display.take(event)
    display.take(StepOutput(number=3, stream="stderr", data=b"\x1b[2Jwhy\n" * 3))
    display.close(3, "exit code: 1")
    assert any(line.startswith(" => ERROR [base 2/2] RUN make") for line in terminal.lines)
    rule = terminal.lines.index("------")
    assert terminal.lines[rule + 1] == " > [base 2/2] RUN make:"
    assert terminal.lines[-1] == "------"
    assert "\x1b[2J" not in terminal.getvalue()


def test_a_build_of_many_stages_fits_on_the_screen(display: TtyDisplay, terminal: Terminal) -> None:
    for number in range(1, 41):
        display.take(StepStarted(number=number, name="RUN " + "x" * 200))
    display._draw()
    display._draw()
    assert len(terminal.lines) <= 12
    assert all(len(line) <= 61 for line in terminal.lines)
    display.close()


def test_builder_17_nothing_is_shown_where_nothing_was_asked_for(terminal: Terminal) -> None:
    for mode in ("none", "quiet"):
        display = make(mode, terminal)
        assert display.take(STEPS[0])
        assert not display.take(object())
        display.close()
    assert terminal.getvalue() == ""


def test_a_terminal_gets_the_drawing_and_nothing_else_does(
    session: Any, engine: Any, terminal: Terminal, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    assert main(["build", str(tmp_path)], session) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("#0 building with ")
    assert main(["build", "--progress", "tty", str(tmp_path)], session) == 1
    assert "failed to get console" in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr", terminal)
    assert main(["build", "-q", str(tmp_path)], session) == 0
    assert terminal.getvalue() == ""
    assert main(["build", str(tmp_path)], session) == 0
    assert any("FINISHED" in line for line in terminal.lines)
    engine.build_fails = True
    assert main(["build", str(tmp_path)], session) == 1
    assert any(line.startswith(" => ERROR [1/2] RUN make") for line in terminal.lines)
    assert any("exit code: 2" in line for line in terminal.lines)
