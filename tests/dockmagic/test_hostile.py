"""Whatever a container says of itself is text: never markup, script or a link of its own."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic.commands.container.diff import Changes
from dockmagic.commands.container.logs import Logs
from dockmagic.magics.live_views import as_html
from dockmagic.widgets import bundle, container_bundle, image_bundle
from dockmagic.widgets.live import BuildProgress, Hidden, PullProgress
from dockmagic_runtime.model.build import BuildStarted, PlannedStep, StepOutput, StepStarted
from dockmagic_runtime.model.container import Change, ChangeKind, LogLine
from dockmagic_runtime.model.progress import STEP, PullStatus

EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href=javascript:alert(1)>"
    "</style></div><iframe>\x1b]8;;http://evil\x07click\x1b]8;;\x07\x9b2J\u202e"
)
ALLOWED = {
    "a", "b", "code", "details", "div", "i", "p", "pre", "span", "strong", "style", "summary",
    "table", "tbody", "td", "th", "thead", "tr", "svg", "circle", "path",
}  # fmt: skip


class Strict(HTMLParser):
    """Fails for an element or an attribute that we do not write."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "href":
                assert re.match(r"https?://(localhost|127\.0\.0\.1)[:/]", value or ""), value


def check(html: str) -> None:
    Strict(convert_charrefs=True).feed(html)
    assert "\x1b" not in html
    assert "\x9b" not in html
    assert "\u202e" not in html
    assert html.count("</style>") <= 2  # the sheet, and that of a log


@pytest.fixture
def container(run: Any, engine: Any) -> Any:
    run("%docker run -d --name web -p 80:80 httpd")
    return replace(
        engine.containers.get("web"), name=EVIL, image=EVIL, command=(EVIL,), labels={EVIL: EVIL},
    )  # fmt: skip


def test_names_images_commands_and_labels(run: Any, engine: Any, container: Any) -> None:
    check(container_bundle(container)["text/html"])
    engine.containers.list = lambda **_: (container,)
    engine.created = {"web": container}
    for line in ("%ps -a", "%stats --no-stream"):
        cell = run(line)
        assert cell.error is None, cell.error
        table = cell.value
        check(bundle(table._listing)["text/html"])
    check(image_bundle(replace(engine.images.get("httpd"), tags=(EVIL,)), EVIL)["text/html"])


def test_paths_of_changes() -> None:
    changes = tuple(Change(f"/{EVIL}/{n}", kind) for n, kind in enumerate(ChangeKind))
    check(bundle(Changes(EVIL, changes), sizes={changes[0].path: 1})["text/html"])


def test_logs_have_no_html_of_their_own() -> None:
    assert as_html(EVIL).count("<script") == 0
    check(as_html(EVIL))
    line = LogLine(time="2026-12-01T00:00:00Z", stream="stdout", text=EVIL.encode())
    check(bundle(Logs(EVIL, (line,)))["text/html"])


def test_progress_of_builds_and_pulls() -> None:
    build, pull = BuildProgress(Hidden()), PullProgress(Hidden(), EVIL)
    planned = PlannedStep(number=2, name=EVIL, instruction=EVIL, stage=EVIL)
    build.add(BuildStarted(steps=2, planned=(planned, replace(planned, number=3, stage="b"))))
    build.add(StepStarted(number=2, name=EVIL, instruction=EVIL))
    build.add(StepOutput(number=2, stream="stdout", data=EVIL.encode()))
    check(str(build.draw()))
    pull.add(PullStatus(status=EVIL, id=EVIL, current=1, total=2, size=2))
    pull.add(PullStatus(status=EVIL, kind=STEP, step=1, steps=2))
    check(str(pull.draw()))
