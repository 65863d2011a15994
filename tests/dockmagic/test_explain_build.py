"""`explain build` and `explain IMAGE`: why steps were in the cache, as text and as a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic import commands
from dockmagic.cli import main
from dockmagic.commands.builder.explain import ExplainedBuild
from dockmagic.errors import MagicError
from dockmagic.widgets import bundle
from dockmagic.widgets.explain_build import edges
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.explanation import BuildExplanation, ExplainedBuildStep

from .values import make_image


def step(number: int, instruction: str, kind: str, **more: Any) -> ExplainedBuildStep:
    more.setdefault("cached", True)
    more.setdefault("stage", 0)
    return ExplainedBuildStep(
        number=number, line=number, instruction=instruction, kind=kind, seconds=0.001, **more
    )


EXPLANATION = BuildExplanation(
    image_id="sha256:" + "e" * 64,
    file_name="Dockerfile",
    steps=(
        step(1, "FROM alpine AS made", "base", cached=False),
        step(2, "RUN make", "run", created="2026-01-02T03:04:05.000000000Z"),
        step(3, "WORKDIR /w", "workdir", created="2026-01-02T03:04:05.000000000Z"),
        step(4, "FROM alpine", "base", stage=1),
        step(5, "COPY <b> /", "copy", stage=1, cached=False, reason="changed: <b>", size=2048),
        step(6, "COPY --from=made /x /", "copy", stage=1, needs=(3,), files=1),
        step(7, "RUN --mount=source=.,target=/m x", "run", stage=1, files=2),
        step(8, 'CMD ["x"]', "config", stage=1, cached=False, reason="step 5 was built anew"),
        step(9, "COPY a /", "copy", stage=1),
        step(10, "FROM made", "base", stage=2, needs=(3,)),
    ),
    seconds=1.25,
)


@pytest.fixture
def explained(engine: Any, monkeypatch: pytest.MonkeyPatch) -> ExplainedBuild:
    monkeypatch.setattr(engine.builds, "explain", lambda name: EXPLANATION, raising=False)
    explained = commands.execute(engine, commands.parse(["explain", "httpd"]))
    assert isinstance(explained, ExplainedBuild)
    return explained


def test_the_text_tells_state_time_and_reason(explained: ExplainedBuild) -> None:
    head, *lines = str(explained).splitlines()
    assert head.split() == ["STEP", "CACHE", "TOOK", "SIZE", "INSTRUCTION", "WHY"]
    assert [re.split(r" {3,}", line)[-1] for line in lines] == [
        "the image was not here",
        "the same command on the same layers, made 2026-01-02 03:04:05",
        "the same directory on the same layers, made 2026-01-02 03:04:05",
        "the image is here",
        "changed: <b>",
        "1 file unchanged",
        "2 files unchanged",
        "step 5 was built anew",
        "contents unchanged",
        "begins with what step 3 came to",
    ]
    assert re.split(r" {3,}", lines[4])[:4] == ["5", "miss", "1.0 ms", "2.05kB"]


def test_the_stable_form_has_no_times(explained: ExplainedBuild) -> None:
    first, second, *_ = repr(explained).splitlines()
    assert first.split(maxsplit=2)[:2] == ["1", "pulled"]
    assert re.split(r" {3,}", second) == [
        "2",
        "hit",
        "RUN make",
        "the same command on the same layers",
    ]


def test_rows_are_for_pandas(explained: ExplainedBuild) -> None:
    assert [row["cached"] for row in explained][:2] == [False, True]
    assert explained[4].reason == explained.rows()[4]["why"] == "changed: <b>"
    assert len(explained) == 10


def test_the_picture_has_a_dot_for_each_step_and_a_line_for_each_dependency(
    explained: ExplainedBuild,
) -> None:
    html = bundle(explained)["text/html"]
    assert "5 of 7 steps from the cache" in html
    dots = re.findall(r'<circle cx="([\d.]+)" [^>]*fill="([^"]*)"', html)
    assert len(dots) == 10
    assert len({x for x, _ in dots}) == 3  # stages
    lanes = {stage: at for at, stage in enumerate(sorted({s.stage for s in explained.steps}))}
    links = edges(explained.steps, lanes)
    assert len(links) == 2 + 5 + 2
    assert html.count("<path") == sum(link.end - link.begin + 1 for link in links)
    assert "<script" not in html
    assert "<b> /" not in html
    assert "COPY &lt;b&gt; /" in html
    missed = {fill for (_, fill), step in zip(dots, explained.steps, strict=True) if step.reason}
    assert len(missed) == 1


def test_a_deterministic_notebook_sees_no_times(explained: ExplainedBuild) -> None:
    html = bundle(explained, deterministic=True)["text/html"]
    assert " ms" not in html
    assert "2026" not in html
    assert "changed: &lt;b&gt;" in html


def test_a_container_goes_before_an_image(engine: Any, explained: ExplainedBuild) -> None:
    engine.containers.run(_spec("run --name httpd httpd"), detach=True)
    answer = commands.execute(engine, commands.parse(["explain", "httpd"]))
    assert not isinstance(answer, ExplainedBuild)


def _spec(line: str) -> Any:
    from dockmagic.commands.options.container import container_spec

    return container_spec(commands.parse(line.split()))


def test_what_is_neither_says_so(run: Any) -> None:
    for name, message in (
        ("httpd", "it is not known how httpd was"),
        ("no", "No such container: no"),
    ):
        cell = run(f"%explain {name}")
        assert isinstance(cell.error, MagicError)
        assert message in cell.traceback[0]


@pytest.mark.root
@pytest.mark.network
def test_a_real_build_is_explained(
    stocked_engine: Any, session: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session.use(stocked_engine)
    (tmp_path / "index.html").write_text("1")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN true\nCOPY index.html /\n")
    assert main(["build", "-t", "site", str(tmp_path)], session) == 0
    (tmp_path / "index.html").write_text("2")
    capfd.readouterr()
    assert main(["explain", "build", "-t", "site", str(tmp_path)], session) == 0
    shown = capfd.readouterr().out
    assert "the same command on the same layers, made 2" in shown
    assert shown.splitlines()[-1].endswith("changed: index.html")
    assert main(["explain", "site"], session) == 0
    assert capfd.readouterr().out.splitlines() == shown.splitlines()[-4:]


def test_build_alone_is_the_newest_image_that_was_built_here(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = max(engine.images.list(), key=lambda image: image.created)
    asked = []

    def explain_build(name: str) -> BuildExplanation:
        asked.append(name)
        return EXPLANATION

    monkeypatch.setattr(engine.builds, "explain", explain_build)
    explained = commands.execute(engine, commands.parse(["explain", "build"]))
    assert isinstance(explained, ExplainedBuild)
    assert asked == [newest.id]


def test_build_alone_where_nothing_was_built_says_so(engine: Any) -> None:
    with pytest.raises(NotFound, match="no image here was built"):
        commands.execute(engine, commands.parse(["explain", "build"]))


def test_build_alone_passes_over_stand_ins(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are built here too, when something is pulled, and are none of the user's builds."""
    *_, mine, stand_in = engine.known = [
        replace(make_image("docker.io/library/mine:latest", "b"), created=1.0),
        replace(make_image("docker.io/library/httpd:latest", "c"), created=2.0),
    ]
    explanations = {mine.id: EXPLANATION, stand_in.id: replace(EXPLANATION, is_stand_in=True)}
    monkeypatch.setattr(engine.builds, "explain", explanations.__getitem__)
    explained = commands.execute(engine, commands.parse(["explain", "build"]))
    assert isinstance(explained, ExplainedBuild)
    assert explained.explanation is EXPLANATION
    engine.known = [stand_in]
    with pytest.raises(NotFound, match="no image here was built"):
        commands.execute(engine, commands.parse(["explain", "build"]))
