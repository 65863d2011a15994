"""`docker build --check`: in a terminal's words, and in BuildKit's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dockmagic.commands.builder.checked import DESCRIPTIONS, Checked
from dockmagic_runtime.dockerfile import parse
from dockmagic_runtime.model.build import BuildStarted, BuildWarning


def test_a_check_tells_what_docker_tells() -> None:
    warning = BuildWarning(
        text="WorkdirRelativePath: relative (line 2)",
        reason="relative",
        rule="WorkdirRelativePath",
        line=2,
        last_line=2,
        excerpt="app/Dockerfile:2\n---\n   2 | >>> WORKDIR x\n---",
    )
    checked = Checked((warning, BuildWarning(text="unused arguments")), "app/Dockerfile")
    assert str(checked).splitlines() == [
        "Check complete, 2 warnings have been found!",
        "",
        "WARNING: WorkdirRelativePath - "
        "https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/",
        "relative",
        "app/Dockerfile:2",
        "---",
        "   2 | >>> WORKDIR x",
        "---",
        "",
        "WARNING: unused arguments",
    ]
    assert checked.exit_code == 1
    warning_document = json.loads(str(Checked((warning,), format="json")))
    assert warning_document["warnings"][0]["ruleName"] == "WorkdirRelativePath"
    assert str(Checked(())) == "Check complete, no warnings found."


def test_builder_14_the_json_of_a_check_has_buildkits_keys(
    dockmagic: Any, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = BuildWarning(
        text="WorkdirRelativePath: relative (line 2)",
        reason="relative",
        rule="WorkdirRelativePath",
        line=2,
        last_line=3,
    )
    started = BuildStarted(steps=0, warnings=(warning,))
    monkeypatch.setattr(engine.images, "build", lambda request: iter([started]))
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    code, out, _ = dockmagic(f"build --call check,format=json {tmp_path}")
    assert code == 1
    assert json.loads(out) == {
        "warnings": [
            {
                "ruleName": "WorkdirRelativePath",
                "description": DESCRIPTIONS["WorkdirRelativePath"],
                "url": "https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/",
                "detail": "relative",
                "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 3}}]},
            }
        ],
        "sources": [{"filename": "Dockerfile", "data": "RlJPTSBhCg==", "language": "Dockerfile"}],
    }


def test_builder_14_a_dockerfile_that_is_none_has_its_error_in_the_json(
    dockmagic: Any, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.images, "build", lambda request: iter([parse(request.dockerfile)]))
    (tmp_path / "Dockerfile").write_text("FROM a\nRUNN \\\n x\n")
    code, out, err = dockmagic(f"build --call check,format=json {tmp_path}")
    message = "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"
    location = {"ranges": [{"start": {"line": 2}, "end": {"line": 3}}]}
    assert json.loads(out)["buildError"] == {"message": message, "location": location}
    assert err.splitlines()[-8:-5] == [f"ERROR: {message}", "Dockerfile:2", "-" * 20]
    assert code == 1
    code, out, err = dockmagic(f"build --check {tmp_path}")
    assert (code, out) == (1, "")
    assert err.endswith(f"failed to solve: {message}\n")
