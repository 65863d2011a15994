"""What a notebook shows: escaped, small, and readable without styles."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.builder.build import Built
from dockmagic.commands.builder.checked import Checked
from dockmagic.commands.container.diff import Changes
from dockmagic.commands.container.explain import Explained
from dockmagic.commands.output.result import Result
from dockmagic.widgets import bundle, container_bundle, html, image_bundle
from dockmagic.widgets.live import BuildProgress, PullProgress
from dockmagic.widgets.sanitize import Cleaner, clean, plain
from dockmagic.widgets.tree import TreeEntry, tree
from dockmagic_runtime.model.build import (
    BuildStarted,
    BuildWarning,
    PlannedStep,
    StepDone,
    StepFailed,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.container import Change, ChangeKind
from dockmagic_runtime.model.progress import PullStatus
from tests.dockmagic.values import make_explanation, make_image

VOID = {"br", "img", "hr", "polyline"}


class Outline(HTMLParser):
    """Tags that are open, and all that were seen."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(source: str) -> Outline:
    parser = Outline()
    parser.feed(source)
    parser.close()
    assert parser.open == []
    assert not parser.seen & {"script", "iframe", "img", "b-motd"}
    return parser


@pytest.fixture
def shown(engine: Any) -> Callable[..., dict[str, str]]:
    def bundle_of(line: str, **options: Any) -> dict[str, str]:
        outcome = commands.execute(engine, commands.parse(line.split()))
        last = outcome if isinstance(outcome, Result) else list(outcome)[-1]
        assert isinstance(last, Result)
        return bundle(last, **options)

    return bundle_of


LINES = [
    "ps -a", "images", "history httpd", "layers httpd", "layers httpd busybox",
    "layers --file /etc/motd httpd", "diff web", "stats --no-stream web",
    "network draw", "network trace localhost:9999", "network trace 192.0.2.1:9999",
    "inspect web", "info", "build -t site CONTEXT", "logs web", "version",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("deterministic", [False, True])
def test_every_bundle_is_well_formed_and_small(
    line: str, deterministic: bool, shown: Any, engine: Any, tmp_path: Any
) -> None:
    list(commands.execute(engine, commands.parse("run -d --name web -p 80:80 httpd".split())))
    (tmp_path / "Dockerfile").write_text("FROM httpd\n")
    bundled = shown(line.replace("CONTEXT", str(tmp_path)), deterministic=deterministic)
    assert len(bundled["text/plain"]) < 2000
    outline(bundled.get("text/html", ""))
    assert len(bundled.get("text/html", "")) <= 20_000


@pytest.mark.parametrize("line", LINES)
def test_stable_text_has_no_ids_ages_and_sizes(
    line: str, shown: Any, engine: Any, tmp_path: Any
) -> None:
    list(commands.execute(engine, commands.parse("run -d --name web httpd".split())))
    (tmp_path / "Dockerfile").write_text("FROM httpd\n")
    text = shown(line.replace("CONTEXT", str(tmp_path)), deterministic=True)["text/plain"]
    assert not re.search(r"\b[0-9a-f]{12}\b|\d(B|kB|MB|MiB)\b|\bago\b", text)


def test_layers_lie_as_they_are_stacked_and_name_who_shares(shown: Any) -> None:
    text = outline(shown("layers httpd")["text/html"]).text
    assert text.index("RUN echo") < text.index("ADD rootfs")
    assert "shared with busybox:latest" in text
    assert "500 files" in text
    assert "+443 smaller ones" in text


def test_a_big_image_stays_small(engine: Any, shown: Any) -> None:
    image = engine.images.analyze("httpd")
    many = replace(
        image,
        layers=image.layers * 15,
        wasted=image.wasted * 50,
        wasted_files=50,
    )
    engine.images.analyze = lambda _: many
    assert len(shown("layers httpd")["text/html"]) <= 20_000


def test_ten_thousand_changes_stay_small(engine: Any, shown: Any) -> None:
    list(commands.execute(engine, commands.parse("run -d --name web httpd".split())))
    changes = tuple(Change(f"/srv/data/file{n}", ChangeKind.ADDED) for n in range(10_000))
    engine.containers.diff = lambda _: changes
    bundled = shown("diff web")
    assert len(bundled["text/html"]) <= 20_000
    assert "+9850 more" in bundled["text/html"]
    assert "10000 added" in bundled["text/html"]


def test_a_tree_folds_lonely_directories_together() -> None:
    text = outline(tree([TreeEntry("/a/b/c", "A"), TreeEntry("/a/b/d", "D", "1B")])).text
    assert text == "a/b/A cD d  1B"


def test_tables_count_what_they_leave_out() -> None:
    drawn = html.table(["n"], [[str(n)] for n in range(300)])
    assert drawn.count("<tr>") == 202
    assert "+100 more" in drawn


def test_only_markup_is_not_escaped() -> None:
    assert html.tag("b", "<i>", html.Markup("<br>"), title='"<') == (
        '<b title="&quot;&lt;">&lt;i&gt;<br></b>'
    )


def test_cards(engine: Any) -> None:
    container = engine.containers.run(
        commands_spec("run -d --name web -p 80:80 httpd"), detach=True
    )
    bundled = container_bundle(container)
    assert bundled["text/plain"].startswith("web  httpd  Up ")
    assert bundled["text/plain"].endswith("  0.0.0.0:80->80/tcp  010101010101")
    assert 'href="http://localhost:80/"' in bundled["text/html"]
    assert "172.17.0.2" not in container_bundle(container, deterministic=True)["text/html"]
    image = engine.images.get("httpd")
    assert "12.3MB" in outline(image_bundle(image, "httpd")["text/html"]).text
    assert "MB" not in image_bundle(image, "httpd", deterministic=True)["text/html"]


def commands_spec(line: str) -> Any:
    from dockmagic.commands.options.container import container_spec

    return container_spec(commands.parse(line.split()))


def test_a_random_name_is_not_in_the_stable_text(engine: Any) -> None:
    container = engine.containers.run(commands_spec("run httpd"), detach=True)
    assert container_bundle(container, deterministic=True)["text/plain"] == "httpd  running"


class Recorder:
    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.has_drawn = threading.Event()

    def show(self, drawn: html.Markup, text: str) -> None:
        self.drawn.append(str(drawn))
        self.has_drawn.set()

    def keep(self, drawn: html.Markup, text: str) -> None:
        self.show(drawn, text)

    def close(self) -> None:
        pass


def test_quick_work_draws_nothing() -> None:
    view = Recorder()
    progress = PullProgress(view)
    for n in range(100):
        progress.add(PullStatus(status="Downloading", id="a", current=n, total=100))
    assert view.drawn == []
    progress.close()


def test_notebook_b7_a_quiet_step_is_drawn_without_a_further_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dockmagic.widgets.live._PATIENCE", 0.01)
    view = Recorder()
    progress = BuildProgress(view)
    progress.add(StepStarted(number=1, name="[1/1] RUN sleep", instruction="RUN sleep", line=1))
    assert view.has_drawn.wait(10)
    progress.close()
    assert "running" in view.drawn[0]


def test_progress_is_drawn_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("dockmagic.widgets.live.time.monotonic", lambda: now[0])
    view = Recorder()
    pull, build = PullProgress(view), BuildProgress(view)
    now[0] = 1.0
    pull.add(PullStatus(status="<Downloading>", id="a", current=1, total=2))
    build.add(BuildStarted(steps=1))
    now[0] = 2.0
    build.add(StepStarted(number=1, name="[1/2] RUN <x>", instruction="RUN <x>", line=1))
    assert "&lt;Downloading&gt;" in view.drawn[0]
    assert "running" in view.drawn[2]
    assert "<x>" not in view.drawn[2]
    pull.close()
    build.close()


def test_of_stages_side_by_side_all_that_run_are_shown_running() -> None:
    progress = BuildProgress(Recorder())
    for number in (1, 2, 3):
        progress.add(
            StepStarted(number=number, name="[1/2] RUN x", instruction="RUN x", line=number)
        )
    progress.add(StepDone(number=2, cached=False, seconds=1.0))
    drawn = str(progress.draw())
    assert drawn.count('aria-label="running"') == 2
    assert "1 of 3 steps" in drawn
    assert progress.place() == " at [1/2] RUN x"
    progress.close()


def test_notebook_b7_a_failed_build_keeps_its_steps_and_the_failed_one_open() -> None:
    view = Recorder()
    progress = BuildProgress(view)
    progress.add(StepStarted(number=1, name="[1/2] RUN false", instruction="RUN false", line=1))
    progress.add(StepOutput(number=1, stream="stderr", data=b"no <such> file\n"))
    progress.fail(1)
    assert '<details open="">' in view.drawn[-1]
    assert 'aria-label="failed"' in view.drawn[-1]
    assert "no &lt;such&gt; file" in view.drawn[-1]


def test_notebook_b7_all_steps_are_listed_at_once_in_the_lanes_of_their_stages() -> None:
    planned = tuple(
        PlannedStep(number=n, name=f"[{stage} 1/1] RUN {n}", instruction=f"RUN {n}", stage=stage)
        for n, stage in ((1, "base"), (2, "base"), (3, "final"))
    )
    view = Recorder()
    progress = BuildProgress(view)
    progress.add(BuildStarted(steps=3, stages=2, planned=planned))
    progress.add(StepStarted(number=1, name="[base 1/1] RUN 1", instruction="RUN 1"))
    drawn = str(progress.draw())
    assert drawn.count('aria-label="waiting"') == 2
    assert drawn.count('aria-label="running"') == 1
    assert "0 of 3 steps" in drawn
    assert drawn.index(">base<") < drawn.index("RUN 2") < drawn.index(">final<")
    progress.add(StepFailed(number=1, reason="exit code: 1", left="0123456789ab"))
    progress.fail(1)
    assert "%docker run -it --from-failed=0123456789ab" in view.drawn[-1]


def test_notebook_b7_a_running_step_shows_its_last_lines() -> None:
    progress = BuildProgress(Recorder())
    progress.add(StepStarted(number=1, name="[1/1] RUN make", instruction="RUN make", line=1))
    progress.add(StepOutput(number=1, stream="stdout", data=b"%d\n" * 30 % (*range(30),)))
    drawn = str(progress.draw())
    assert "22\n23\n24\n25\n26\n27\n28\n29" in drawn
    assert "\n21\n" not in drawn
    progress.close()


def test_notebook_b21_a_diff_has_sizes_and_mutes_what_changed_for_its_contents_only() -> None:
    changes = Changes(
        "web",
        (
            Change("/etc", ChangeKind.CHANGED),
            Change("/etc/motd", ChangeKind.ADDED),
            Change("/srv/old", ChangeKind.DELETED),
        ),
    )
    drawn = bundle(changes, sizes={"/etc/motd": 1234})["text/html"]
    assert '<span class="dm-muted">C etc/</span>' in drawn
    assert '<span class="dm-run">A motd</span><span class="dm-muted">  1.23kB</span>' in drawn
    assert "dm-fail" not in drawn.partition("</style>")[2]


def test_notebook_b20_a_count_of_zero_is_muted() -> None:
    drawn = bundle(Changes("web", (Change("/x", ChangeKind.ADDED),)))["text/html"]
    assert '<span class="dm-pill dm-muted">0 deleted</span>' in drawn
    assert '<span class="dm-pill dm-run">1 added</span>' in drawn


def test_notebook_b16_names_come_first_and_a_port_is_one_link(engine: Any, shown: Any) -> None:
    list(commands.execute(engine, commands.parse("run -d --name web -p 80:80 httpd".split())))
    drawn = outline(shown("ps")["text/html"]).text
    assert drawn.index("NAME") < drawn.index("IMAGE") < drawn.index("STATUS")
    assert shown("ps")["text/html"].count("href=") == 1
    assert ":80→80" in drawn


def test_notebook_b23_empty_tables_say_what_to_do(engine: Any, shown: Any) -> None:
    assert "%docker run -d IMAGE starts one" in shown("ps")["text/html"]
    engine.known.clear()
    assert "%pull NAME gets one" in shown("images")["text/html"]


def test_notebook_b17_no_picture_of_times_is_scaled_as_a_whole(shown: Any) -> None:
    drawn = bundle(Explained(make_explanation("c" * 64, "web")))["text/html"]
    assert "viewBox" not in drawn
    assert "left:" in drawn
    assert drawn.count("dm-lane") > 3


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        (b"\x1b[1;38:5:208mx", "\x1b[1;38:5:208mx"),
        (b"a\x1b[2Jb\x1b[Hc\x1b[?25ld", "abcd"),
        (b"a\x1b]0;title\x07b", "ab"),
        (b"a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        (b"a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        (b"a\x1bPq...\x1b\\b\x1b_apc\x1b\\c\x1b^pm\x1b\\d\x1bXsos\x1b\\e", "abcde"),
        (b"a\x1b(Bb\x1b#8c\x1bcd\x1b=e", "abcde"),
        ("a\x9b2Jb\x9d0;t\x9cc".encode(), "abc"),
        (b"a\x07\x08\x00\x0b\x7fb\tc\rd", "ab\tc\rd"),
        (b"a\x1b[31\nmb", "a\n\x1b[31mb"),
        (b"a\x1b\x1b[31mb", "a\x1b[31mb"),
        (b"a\x1b]0;x\x18b", "ab"),
        (b"\xff\xc3", "\ufffd\ufffd"),
        ("a\u202eb\u2066c".encode(), "abc"),
        (b"\x1b[" + b"3" * 500 + b"mx", "x"),
        ("한글 ü 😀".encode(), "한글 ü 😀"),
    ],
)
def test_only_colours_get_through(data: bytes, expected: str) -> None:
    assert clean(data) == expected
    cleaner = Cleaner()
    pieces = [cleaner.feed(data[i : i + 1]) for i in range(len(data))]
    assert "".join(pieces) + cleaner.feed(b"", final=True) == expected


PIECES = [
    b"\x1b", b"[", b"]", b"m", b"8;;", b"\x07", b"\\", b"3", b"x", b"\n", b"P", b"\x9b", b"\xc2",
    b"\xff", b"<b>",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20))
def test_nothing_but_colours_is_left_of_any_bytes(pieces: list[bytes]) -> None:
    rest = re.sub(r"\x1b\[[0-9;:]*m", "", clean(b"".join(pieces)))
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", rest)
    assert "\x1b" not in plain(b"".join(pieces))


def test_a_terminals_line_ends_become_a_notebooks() -> None:
    cleaner = Cleaner(crlf=True)
    assert cleaner.feed(b"a\r\nb\r") + cleaner.feed(b"\nc\rd\r") == "a\nb\nc\rd"
    assert cleaner.feed(b"", final=True) == "\r"


WARNING = BuildWarning(
    text="JSONArgsRecommended: JSON <b> (line 2)",
    reason="JSON <b>",
    rule="JSONArgsRecommended",
    line=2,
    excerpt="   2 | CMD <b>x\n     | ^",
)


def test_a_warning_of_a_build_unfolds_to_its_line_and_to_what_its_rule_says() -> None:
    image = make_image("x", "a")
    built = Built(image, (), (), 0.1, (WARNING, BuildWarning(text="unused arguments")))
    drawn = str(bundle(built)["text/html"])
    assert "<details><summary" in drawn
    assert "   2 | CMD &lt;b&gt;x\n" in drawn
    assert "/dockerfile/rule/json-args-recommended/" in drawn
    assert drawn.count("<details") == 1
    assert "unused arguments" in drawn


def test_a_check_shows_what_it_found() -> None:
    bundled = bundle(Checked((WARNING,)))
    assert "JSON &lt;b&gt;" in bundled["text/html"]
    lines = bundled["text/plain"].splitlines()
    assert lines[0] == "Check complete, 1 warning has been found!"
    assert "WARNING: JSONArgsRecommended" in bundled["text/plain"]
