"""The live views of containers: what they show, what their buttons do, what they ask before."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import dockmagic.widgets
from dockmagic.magics.live_views import EngineSource
from dockmagic.widgets.container_rows import actions_of, ended_text, row_of, verbs_of
from dockmagic.widgets.containers_view import ContainersView, StatsView
from dockmagic_runtime.model.container import Status

STATIC = Path(dockmagic.widgets.__file__).parent / "static"


@pytest.fixture
def web(run: Any, engine: Any) -> Any:
    run("%docker run -d --name web -p 80:80 httpd")
    return engine.containers.get("web")


@pytest.fixture
def view(session: Any, engine: Any, web: Any) -> Any:
    view = ContainersView(EngineSource(session), lambda: engine.containers.list(all=True), str)
    view.sent = []
    view.send = lambda content, buffers=None: view.sent.append(content)
    yield view
    view.close()


@pytest.fixture
def page(shell: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A front end: what is published to it."""
    published: list[dict[str, Any]] = []
    shell._dockmagic_extension.settings.render = "widget"
    monkeypatch.setattr(shell.display_pub, "publish", lambda **message: published.append(message))
    return published


@pytest.mark.parametrize(
    ("status", "verbs"),
    [
        (Status.RUNNING, ("pause", "stop", "restart", "kill")),
        (Status.PAUSED, ("unpause", "stop", "kill")),
        (Status.CREATED, ("start", "rm")),
        (Status.EXITED, ("start", "rm")),
        (Status.REMOVING, ()),
    ],
)
def test_notebook_b9_the_buttons_are_those_of_the_state(
    web: Any, status: Status, verbs: tuple[str, ...]
) -> None:
    assert verbs_of(replace(web, status=status)) == verbs


def test_notebook_b9_what_cannot_be_undone_is_asked_before(web: Any) -> None:
    for status in Status:
        for action in actions_of(replace(web, status=status)):
            assert bool(action["question"]) == (action["verb"] in ("kill", "rm"))
            assert action["line"] == f"docker {action['verb']} web"


def test_notebook_b9_an_end_has_its_code_its_reason_and_its_time(web: Any) -> None:
    ended = replace(web, status=Status.EXITED, exit_code=137, oom_killed=True, finished=1.0)
    assert ended_text(ended).startswith("exited (137), out of memory · ")
    assert ended_text(ended).endswith(" ago")
    assert ended_text(web) == ""


def test_a_row_is_text_whatever_the_container_is_called(web: Any) -> None:
    hostile = replace(
        web, name="<img src=x>", image="\x1b]8;;http://evil\x07x", command=("\x1b[2J<b>",)
    )
    row = row_of(hostile)
    assert "\x1b" not in json.dumps(row)
    assert row["name"] == "<img src=x>"  # the page sets it as a text
    assert row["ports"] == [{"text": ":80→80", "address": "http://localhost:80/"}]


def test_the_page_asks_and_the_engine_answers(view: Any) -> None:
    view.receive({"kind": "sample"}, [])
    (message,) = view.sent
    (sample,) = message["usage"].values()
    assert (sample["cpu"], sample["memory_text"]) == (12.5, "3MiB")
    assert [row["name"] for row in view.rows] == ["web"]


def test_a_button_does_its_verb_and_shows_the_docker_line(view: Any, engine: Any, web: Any) -> None:
    view.act("stop", web.id).join(10)
    assert engine.created["web"].status == "exited"
    assert view.sent[0] == {
        "kind": "acted", "id": web.id, "verb": "stop", "line": "docker stop web", "error": "",
    }  # fmt: skip
    assert view.rows[0]["word"].startswith("exited")


@pytest.mark.parametrize("verb", ["rm", "unpause", "rm -rf", "__init__"])
def test_a_button_that_the_state_does_not_have_does_nothing(
    view: Any, engine: Any, web: Any, verb: str
) -> None:
    before = list(engine.calls)
    view.act(verb, web.id).join(10)
    assert "is nothing to do" in view.sent[0]["error"]
    assert engine.calls == before


def test_a_button_that_came_too_late_says_so(view: Any, engine: Any, web: Any) -> None:
    engine.containers.remove("web", force=True)
    view.act("stop", web.id).join(10)
    assert "No such container" in view.sent[0]["error"]
    assert view.rows == []


def test_tabs_have_html_of_ours_in_which_a_containers_text_is_text(view: Any, web: Any) -> None:
    for name in ("Logs", "Stats", "Diff", "Inspect"):
        view.receive({"kind": "tab", "name": name, "id": web.id}, [])
        html = view.sent[-1]["html"]
        assert 'class="dm"' in html
        assert "<script>" not in html
        assert "<img" not in html
    assert "&lt;script&gt;" in view.sent[0]["html"]
    view.receive({"kind": "tab", "name": "../secrets", "id": web.id}, [])
    assert view.sent[-1]["html"] == ""


def test_ps_is_live_where_a_page_is(run: Any, web: Any, page: list[dict[str, Any]]) -> None:
    run("%ps")
    (message,) = page
    assert set(message["data"]) == {"text/plain", "text/html"}
    assert "data-dm-view=" in message["data"]["text/html"]
    assert "CONTAINER ID" in message["data"]["text/plain"]


def test_notebook_b8_statistics_of_all_are_live_as_dockers(
    run: Any, web: Any, page: list[dict[str, Any]]
) -> None:
    for line in ("%stats", "%docker container stats", "%stats web"):
        run(line)
        assert "data-dm-view=" in page[-1]["data"]["text/html"], line
    count = len(page)
    run("%stats --no-stream")
    assert len(page) == count


def test_a_list_that_was_asked_for_in_a_format_stands_still(
    run: Any, web: Any, page: list[dict[str, Any]]
) -> None:
    run("%ps -q")
    run("%ps --format {{.Names}}")
    run("x = %ps")
    assert not [message for message in page if "data-dm-view" in str(message)]


def test_a_cell_refreshes_the_lists_above_it(run: Any, view: Any) -> None:
    run("%docker run -d --name db httpd")
    assert {row["name"] for row in view.rows} == {"web", "db"}


def test_notebook_b23_an_empty_list_counts_what_has_ended(
    run: Any, session: Any, engine: Any, web: Any
) -> None:
    from dockmagic.magics.live_views import LiveViews

    views = LiveViews(session, lambda _: {})
    run("%docker stop web")
    assert views._empty() == "nothing runs; 1 ended: %ps -a lists them"
    engine.containers.remove("web")
    assert "starts one" in views._empty()


def test_statistics_of_one_that_ends(session: Any, engine: Any, web: Any) -> None:
    view = StatsView(EngineSource(session), lambda: (web.id,), single=True)
    sent: list[dict[str, Any]] = []
    view.send = lambda content, buffers=None: sent.append(content)
    view.receive({"kind": "sample"}, [])
    assert sent[-1]["items"][0]["cpu"] == 12.5
    assert sent[-1]["items"][0]["pids"] == 7
    engine.containers.stop("web")
    view.receive({"kind": "sample"}, [])
    (item,) = sent[-1]["items"]
    assert item["ended"].startswith("exited (143)")
    assert [action["verb"] for action in item["actions"]] == ["start", "rm"]
    engine.containers.remove("web")
    view.receive({"kind": "sample"}, [])
    assert sent[-1]["items"] == [{"id": web.id, "ended": "removed", "actions": []}]
    view.close()


@pytest.mark.parametrize("view", ["containers.js", "stats.js"])
def test_the_joined_scripts_are_modules_of_their_own(view: str, tmp_path: Path) -> None:
    from dockmagic.widgets.mounted import joined_modules

    source = joined_modules((view,))
    (tmp_path / "view.mjs").write_text(source)
    subprocess.run(["node", "--check", tmp_path / "view.mjs"], check=True, timeout=60)
    assert "import " not in source.replace("important", "")
    assert "http://" not in source.replace(
        "http://www.w3.org/2000/svg", ""
    )  # nothing is loaded from elsewhere
