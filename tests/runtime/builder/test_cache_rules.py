"""The cache, one input at a time: a miss exactly where Docker's rules say so, and a hit elsewhere.

Each change is made to a build that is cached from its first to its last step. What is listed is the
entry of LINES that is the first to be executed; 0 is none. Entries that only change the config are
no steps.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.model.build import StepStarted
from tests.runtime.builder.conftest import Site, of_dockerfile

pytestmark = pytest.mark.root

LINES = (
    "FROM mybase AS made",  # 1
    "ARG WHO=me",  # 2
    "ENV A=1 B=$WHO",  # 3
    "RUN make",  # 4
    "COPY --chown=1 one.txt dir /data/",  # 5
    "ADD other /other",  # 6
    "FROM mybase",  # 7
    "LABEL x=1",  # 8
    "COPY --from=made /data/one.txt /",  # 9
    "WORKDIR /w",  # 10
    "RUN --mount=source=bound,target=/b --mount=type=secret,id=s use",  # 11
    "COPY <<EOF /doc\ntext\nEOF",  # 12
    "ENTRYPOINT [\"x\"]",  # 13
)  # fmt: skip


class Build:
    """The build of this file, and what is changed of it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.lines = list(LINES)
        self.request: dict[str, Any] = {"secrets": {"s": b"1"}}
        for name in ("one.txt", "dir/two", "dir/three", "other", "bound/x", "unused"):
            site.write(name, name)
        base = site.build("FROM scratch\nCOPY one.txt /base")
        site.images.tag(base.id, "mybase")

    def missed(self) -> int:
        """The first entry that was not cached."""
        events = self.site.events("\n".join(self.lines), **self.request)
        started = [event for event in events if isinstance(event, StepStarted)]
        lines = {event.number: event.line for event in started}
        missed = [step.number for step in of_dockerfile(events) if not step.cached]
        return self._entry(lines[missed[0]]) if missed else 0

    def _entry(self, line: int) -> int:
        counts = itertools.accumulate(text.count("\n") + 1 for text in self.lines)
        return next(number for number, last in enumerate(counts, 1) if line <= last)

    def line(self, number: int, text: str) -> None:
        self.lines[number - 1] = text


@pytest.fixture
def build(site: Site) -> Build:
    built = Build(site)
    built.missed()
    assert built.missed() == 0
    return built


def _write(build: Build, name: str, text: str = "changed") -> None:
    build.site.write(name, text)


def _link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _lines(build: Build, lines: dict[int, str]) -> None:
    for number, text in lines.items():
        build.line(number, text)


def _new_base(build: Build) -> None:
    build.site.write("one.txt", "another base")
    image = build.site.build("FROM scratch\nCOPY one.txt /base")
    build.site.write("one.txt", "one.txt")
    build.site.images.tag(image.id, "mybase")


CHANGES: dict[str, tuple[Callable[[Build], object], int]] = {
    # what counts
    "the base image": (_new_base, 4),
    "an argument's default": (lambda b: b.line(2, "ARG WHO=you"), 4),
    "an argument": (lambda b: b.request.update(build_args={"WHO": "you"}), 4),
    "a variable": (lambda b: b.line(3, "ENV A=2 B=$WHO"), 4),
    "a command": (lambda b: b.line(4, "RUN make all"), 4),
    "the network of a command": (lambda b: b.line(4, "RUN --network=none make"), 4),
    "a file's contents": (lambda b: _write(b, "one.txt"), 5),
    "contents of the same size": (lambda b: _write(b, "dir/two", "dir/owt"), 5),
    "a file's mode": (lambda b: (b.site.context / "one.txt").chmod(0o755), 5),
    "a directory's mode": (lambda b: (b.site.context / "dir").chmod(0o700), 5),
    "a file's name": (
        lambda b: (b.site.context / "dir/two").rename(b.site.context / "dir/2"), 5,
    ),
    "one file more": (lambda b: _write(b, "dir/four"), 5),
    "one file less": (lambda b: (b.site.context / "dir/two").unlink(), 5),
    "a file became a link": (
        lambda b: _link(b.site.context / "dir/two", "three"), 5,
    ),
    "the owner given": (lambda b: b.line(5, "COPY --chown=2 one.txt dir /data/"), 5),
    "the mode given": (lambda b: b.line(5, "COPY --chown=1 --chmod=1 one.txt dir /data/"), 5),
    "the destination": (lambda b: b.line(6, "ADD other /another"), 6),
    "an exclusion": (lambda b: b.line(5, "COPY --chown=1 --exclude=two one.txt dir /data/"), 5),
    "what is ignored": (lambda b: _write(b, ".dockerignore", "dir/two"), 5),
    "COPY for ADD": (lambda b: b.line(6, "COPY other /other"), 6),
    "the contents of ADD": (lambda b: _write(b, "other"), 6),
    "what is taken from a stage": (lambda b: b.line(9, "COPY --from=made /other /"), 9),
    "the working directory": (lambda b: b.line(10, "WORKDIR /x"), 10),
    "what is bound": (lambda b: _write(b, "bound/x"), 11),
    "one file more that is bound": (lambda b: _write(b, "bound/y"), 11),
    "a mount's target": (
        lambda b: b.line(11, LINES[10].replace("target=/b", "target=/c")), 11,
    ),
    "a secret's id": (lambda b: b.line(11, LINES[10].replace("id=s", "id=t")), 11),
    "a heredoc": (lambda b: b.line(12, "COPY <<EOF /doc\nother\nEOF"), 12),
    "hosts of the request": (lambda b: b.request.update(add_hosts=("a:192.0.2.1",)), 4),
    "the epoch": (
        lambda b: b.request.update(build_args={"SOURCE_DATE_EPOCH": "1700000000"}), 4,
    ),
    "no cache": (lambda b: b.request.update(no_cache=True), 4),
    # what does not
    "nothing": (lambda b: None, 0),
    "a label": (lambda b: b.line(8, "LABEL x=2"), 0),
    "the entry point": (lambda b: b.line(13, 'ENTRYPOINT ["y"]'), 0),
    "a file's time": (lambda b: os.utime(b.site.context / "one.txt", (1, 1)), 0),
    "a file that nobody copies": (lambda b: _write(b, "unused"), 0),
    "an undeclared argument": (lambda b: b.request.update(build_args={"NOBODY": "1"}), 0),
    "a proxy": (lambda b: b.request.update(build_args={"HTTP_PROXY": "x"}), 0),
    "a secret's value": (lambda b: b.request.update(secrets={"s": b"2"}), 0),
    "labels of the request": (lambda b: b.request.update(labels={"y": "1"}), 0),
    "the tags": (lambda b: b.request.update(tags=("other",)), 0),
    "the network of the request": (lambda b: b.request.update(network="host"), 0),
    "a comment and blanks": (lambda b: b.line(4, "# why\nRUN   make"), 0),
    "a stage's name": (
        lambda b: _lines(b, {1: "FROM mybase AS other",
                             9: "COPY --from=other /data/one.txt /"}), 0,
    ),
    "the same file written again": (lambda b: _write(b, "one.txt", "one.txt"), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_one_change_is_one_miss(build: Build, name: str) -> None:
    change, expected = CHANGES[name]
    change(build)
    assert build.missed() == expected


@pytest.mark.parametrize("name", [name for name, (_, at) in CHANGES.items() if at])
def test_taking_a_change_back_is_a_hit_again(build: Build, name: str) -> None:
    """The old results are still there, and stand under the keys of what is old again."""
    if name in ("no cache", "the base image"):
        pytest.skip("optional: there is nothing to take back")
    before = _contents(build.site.context)
    request, lines = dict(build.request), list(build.lines)
    CHANGES[name][0](build)
    build.missed()
    build.request, build.lines = request, lines
    _restore(build.site.context, before)
    assert build.missed() == 0


def _contents(context: Path) -> dict[Path, tuple[int, str]]:
    return {
        path: (path.stat().st_mode, path.read_text() if path.is_file() else "")
        for path in context.rglob("*")
    }


def _restore(context: Path, before: dict[Path, tuple[int, str]]) -> None:
    for path in sorted(context.rglob("*"), reverse=True):
        if path not in before or path.is_symlink():
            path.unlink()
    for path, (mode, text) in before.items():
        if not path.is_dir():
            path.write_text(text)
        path.chmod(mode & 0o7777)


def test_an_edit_in_the_same_second_with_the_same_size_and_time_is_seen(build: Build) -> None:
    """Whatever a file says of itself: right after a build, and long after it was written."""
    path = build.site.context / "one.txt"
    for text in ("one.txa", "one.txb"):
        status = path.stat()
        path.write_text(text)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert build.missed() == 5
        assert build.missed() == 0


NUMBERS = itertools.count(100)
# by step, changes that can be made together, and that are new each time
ICC: dict[int, Callable[[Build, int], None]] = {
    4: lambda b, n: b.line(4, f"RUN make {n}"),
    5: lambda b, n: _write(b, "one.txt", str(n)),
    6: lambda b, n: _write(b, "other", str(n)),
    10: lambda b, n: b.line(10, f"WORKDIR /w/{n}"),
    11: lambda b, n: _write(b, "bound/x", str(n)),
    12: lambda b, n: b.line(12, f"COPY <<EOF /doc\n{n}\nEOF"),
}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.sets(st.sampled_from(sorted(ICC)), min_size=2), data=st.data())
def test_of_several_changes_the_first_decides(
    build: Build, steps: set[int], data: st.DataObject
) -> None:
    before, lines = _contents(build.site.context), list(build.lines)
    for step in data.draw(st.permutations(sorted(steps))):
        ICC[step](build, next(NUMBERS))
    try:
        assert build.missed() == min(steps)
        assert build.missed() == 0
    finally:
        build.lines = lines
        _restore(build.site.context, before)
    assert build.missed() == 0
