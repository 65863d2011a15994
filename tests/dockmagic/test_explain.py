"""`explain`: the plan as a table, in a stable form, and as a picture."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.container.explain import LANES, Explained
from dockmagic.errors import MagicError
from dockmagic.widgets import bundle
from dockmagic_runtime.errors import InvalidInput


@pytest.fixture
def explained(engine: Any) -> Explained:
    engine.containers.run(_spec("run --name web httpd"), detach=True)
    explanation = commands.execute(engine, commands.parse(["explain", "web"]))
    assert isinstance(explanation, Explained)
    return explanation


def _spec(line: str) -> Any:
    from dockmagic.commands.options.container import container_spec

    return container_spec(commands.parse(line.split()))


def test_the_text_is_a_table_in_the_order_of_beginning(explained: Explained) -> None:
    assert str(explained).splitlines() == [
        "WHEN      TOOK      WHO             OPERATION",
        "0.00 ms   1.00 ms   start process   create the control group area/010101010101…",
        "2.00 ms   0.50 ms   child           mount proc on /proc",
        "2.10 ms   2.00 ms   network         create veth pair vethab ⇄ eth0",
        "2.50 ms   0.50 ms   child           mount <b>sysfs</b> on /sys",
        "5.00 ms   0.10 ms   child           make the overlay the root directory",
        "5.10 ms             child           execute the program: httpd -D 'a b'",
    ]


def test_the_stable_form_has_no_times_ids_or_names_of_this_run(explained: Explained) -> None:
    assert repr(explained).splitlines() == [
        "start process   CreateCgroup",
        "child           MountFilesystem ×2, PivotRoot",
        "network         CreateVeth",
        "program         httpd -D 'a b'",
    ]


def test_calls_and_undo_are_columns_that_can_be_asked_for(engine: Any) -> None:
    engine.containers.run(_spec("run --name web httpd"), detach=True)
    explanation = commands.execute(engine, commands.parse("explain --calls --undo web".split()))
    head, first, *_ = str(explanation).splitlines()
    assert head.split() == ["WHEN", "TOOK", "WHO", "CALLS", "UNDO", "OPERATION"]
    assert "start process   one, two   rmdir        create the control group" in first


def test_rows_are_for_pandas(explained: Explained) -> None:
    assert [row["operation"] for row in explained][:2] == ["CreateCgroup", "MountFilesystem"]
    assert explained.rows()[0]["seconds"] == 0.001


def test_the_picture_has_a_bar_for_each_operation_in_the_lane_of_who_did_it(
    explained: Explained,
) -> None:
    html = bundle(explained)["text/html"]
    picture = html[html.index('<div role="img"') : html.index("<details")]
    lanes = picture.split('<div class="dm-lane')[1:4]
    for who, lane in zip(LANES, lanes, strict=True):
        assert lane.startswith(f'"><span>{who}</span>')
        assert lane.count("<i ") == len(explained.lane(who))
    places = [float(place) for place in re.findall(r"left:([\d.]+)%;width", picture)]
    assert (len(places), min(places)) == (len(explained), 0)
    assert 'title="mount proc on /proc\n0.50 ms"' in picture
    assert "<script" not in html
    assert "&lt;b&gt;sysfs" in html


def test_notebook_b17_the_picture_is_as_wide_as_the_page_and_its_text_is_not_scaled(
    explained: Explained,
) -> None:
    html = bundle(explained)["text/html"]
    assert "viewBox" not in html
    assert min(map(int, re.findall(r"font-size:(\d+)px", html))) >= 11


def test_the_table_folds_and_says_what_is_usual_once(explained: Explained) -> None:
    html = bundle(explained)["text/html"]
    assert "<details><summary" in html
    assert html.count("the kernel") == 1
    assert html.count("rmdir") == 1


def test_a_deterministic_notebook_sees_neither_times_nor_ids(explained: Explained) -> None:
    html = bundle(explained, deterministic=True)["text/html"]
    assert " ms" not in html
    assert "0101" not in html
    assert "CreateVeth" in html


def test_explain_run_runs_it_and_shows_what_it_wrote(run: Any, engine: Any) -> None:
    engine.process.code = 3
    cell = run("%explain run --rm httpd false")
    assert cell.error is None
    assert cell.stdout.startswith("hello\n")
    assert isinstance(cell.value, Explained)
    assert engine.calls[-1][0] == "run"
    assert engine.calls[-1][1].auto_remove


def test_explain_run_in_the_background_explains_the_start(run: Any, engine: Any) -> None:
    cell = run("%explain --undo run -d --name web httpd")
    assert cell.value.explanation.name in ("web", engine.created["web"].id)
    assert engine.created["web"].status == "running"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("web extra", "or what follows run or build: web extra"),
        ("nobody", "No such container: nobody"),
        ("run", "No such container: run"),
        ("run --nmae x httpd", "unknown flag: --nmae"),
        ("", "'docker explain' requires at least 1 argument"),
    ],
)
def test_what_cannot_be_explained(run: Any, line: str, message: str) -> None:
    cell = run(f"%explain {line}")
    assert isinstance(cell.error, MagicError)
    assert message in cell.traceback[0]


def test_a_wrong_flag_of_run_starts_nothing(engine: Any) -> None:
    with pytest.raises(InvalidInput):
        list(commands.execute(engine, commands.parse("explain run -m 5m httpd".split())))
    assert engine.calls == []
