"""Stages side by side: order, dependencies, failures, and no thread left behind."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.builder.execute.parallel import (
    Cancellation,
    Cancelled,
    Claims,
    Stages,
    Work,
    side_by_side,
)
from dockmagic_runtime.builder.interfaces import StepProcess
from dockmagic_runtime.errors import ProcessFailed
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    StepOutput,
    StepStatus,
)
from tests.runtime.builder.conftest import Site


def output(text: str) -> StepOutput:
    return StepOutput(number=1, stream="stdout", data=text.encode())


def run(works: dict[int, Work], cancellation: Cancellation | None = None) -> Iterator[BuildEvent]:
    cancellation = cancellation or Cancellation()
    return side_by_side(works, Stages(works, cancellation), cancellation)


def test_two_that_wait_for_each_other_are_both_there() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def work() -> Iterator[BuildEvent]:
        meeting.wait()
        yield output("met")

    assert list(run({0: work, 1: work})) == [output("met")] * 2


def test_a_stage_waits_for_the_one_it_needs() -> None:
    cancellation = Cancellation()
    stages = Stages([0, 1], cancellation)

    def first() -> Iterator[BuildEvent]:
        for number in range(200):  # more than the queue takes
            yield output(f"first {number}")

    def second() -> Iterator[BuildEvent]:
        stages.wait_for(0)
        yield output("second")

    *_, last = side_by_side({0: first, 1: second}, stages, cancellation)
    assert last == output("second")


def _killed() -> Iterator[BuildEvent]:
    raise ProcessFailed("killed", exit_code=137)


def test_the_first_failure_ends_all_and_is_the_one_that_is_raised() -> None:
    cancellation = Cancellation()
    stages = Stages([0, 1, 2], cancellation)
    woken = threading.Event()

    def failing() -> Iterator[BuildEvent]:
        yield output("before")
        raise ValueError("first")

    def waiting() -> Iterator[BuildEvent]:
        stages.wait_for(0)
        yield output("never")

    def running() -> Iterator[BuildEvent]:
        with cancellation.calling(woken.set):
            assert woken.wait(10)
        yield from _killed()

    events = side_by_side({0: failing, 1: waiting, 2: running}, stages, cancellation)
    assert next(events) == output("before")
    with pytest.raises(ValueError, match="first"):
        next(events)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stage ")]


def test_nobody_is_left_when_nobody_listens_any_more() -> None:
    cancellation = Cancellation()

    def endless() -> Iterator[BuildEvent]:
        while True:
            yield output("x")

    events = run({0: endless, 1: endless}, cancellation)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stage ")]


def test_a_claim_is_waited_for_and_given_up_when_all_is_over(tmp_path: Path) -> None:
    cancellation = Cancellation()
    claims = Claims(str(tmp_path / "claims"), cancellation)
    seen: list[str] = []

    def second() -> None:
        try:
            with claims.held("key"):
                seen.append("held")
        except Cancelled:
            seen.append("cancelled")

    with claims.held("key"):
        thread = threading.Thread(target=second)
        thread.start()
        cancellation.cancel()
        thread.join(10)
    assert seen == ["cancelled"]
    with claims.held("key"):
        pass


def test_security_8_a_step_is_executed_by_one_build_at_a_time(tmp_path: Path) -> None:
    key, other = "a" * 64, "b" * 64
    first, second = (Claims(str(tmp_path / "claims"), Cancellation()) for _ in range(2))
    claim = first.claim(key)
    assert claim is not None
    assert second.claim(key) is None
    another = second.claim(other)
    assert another is not None
    os.close(another)
    os.close(claim)
    claim = second.claim(key)
    assert claim is not None
    os.close(claim)
    assert (tmp_path / "claims").stat().st_size == 0


@pytest.mark.root
def test_security_8_what_another_build_executes_is_waited_for_and_taken(site: Site) -> None:
    """The second begins while the first is within its RUN, whose result differs each time."""
    site.write("file")
    text = "FROM scratch\nCOPY file /\nRUN random\n"
    is_within, may_go_on = threading.Event(), threading.Event()
    counter = itertools.count()

    def random(process: StepProcess) -> None:
        Path(process.upper, "made").write_text(str(next(counter)))
        is_within.set()
        assert may_go_on.wait(10)

    site.runner.commands["random"] = random
    images: list[str] = []
    first = threading.Thread(target=lambda: images.append(site.build(text).id))
    first.start()
    assert is_within.wait(10)
    notes: list[str] = []
    for event in site.builder.build(BuildRequest(dockerfile=text, context=str(site.context))):
        if isinstance(event, StepStatus) and event.is_note:
            notes.append(event.id)
            may_go_on.set()
        elif isinstance(event, BuildDone):
            images.append(event.image.id)
    first.join(10)
    assert notes == ["waiting for another build that executes the same step"]
    assert len(images) == 2
    assert len(set(images)) == next(counter) == 1


@pytest.mark.root
def test_security_8_a_build_that_fails_leaves_the_step_to_the_next(site: Site) -> None:
    site.write("file")
    codes = iter([1, 0])
    site.runner.commands["once"] = lambda process: next(codes)
    text = "FROM scratch\nCOPY file /\nRUN once\n"
    with pytest.raises(ProcessFailed):
        site.build(text)
    site.build(text)


@pytest.mark.root
def test_independent_stages_run_at_the_same_time(site: Site) -> None:
    site.write("file")
    base = site.build("FROM scratch\nCOPY file /")
    site.images.tag(base.id, "mybase")
    meeting = threading.Barrier(2, timeout=10)
    site.runner.commands = {"left": lambda _: _met(meeting), "right": lambda _: _met(meeting)}
    site.build(
        "FROM mybase AS a\nRUN left\nFROM mybase AS b\nRUN right\n"
        "FROM scratch\nCOPY --from=a /file /a\nCOPY --from=b /file /b"
    )


def _met(meeting: threading.Barrier) -> int:
    meeting.wait()
    return 0


@pytest.mark.root
def test_what_two_stages_begin_with_is_done_once(site: Site) -> None:
    site.write("file")
    base = site.build("FROM scratch\nCOPY file /")
    site.images.tag(base.id, "mybase")
    count: list[StepProcess] = []
    site.runner.commands = {"same": lambda process: count.append(process)}
    steps = site.steps(
        "FROM mybase AS a\nRUN same\nRUN left\nFROM mybase AS b\nRUN same\nRUN right\n"
        "FROM scratch\nCOPY --from=a /file /a\nCOPY --from=b /file /b"
    )
    assert len(count) == 1
    # a: same, left; b: same, right
    assert sorted(step.cached for step in (steps[0], steps[2])) == [False, True]


@pytest.mark.root
def test_a_failing_stage_ends_the_others(site: Site) -> None:
    site.write("file")
    base = site.build("FROM scratch\nCOPY file /")
    site.images.tag(base.id, "mybase")
    begun, ended = threading.Event(), threading.Event()

    def bad(process: StepProcess) -> int:
        assert begun.wait(10)
        return 3

    def endless(process: StepProcess) -> int:
        begun.set()
        with process.on_cancel(ended.set):
            assert ended.wait(10)
        return 137

    site.runner.commands = {"bad": bad, "endless": endless}
    with pytest.raises(ProcessFailed, match="exit code: 3"):
        site.build(
            "FROM mybase AS a\nRUN bad\nFROM mybase AS b\nRUN endless\n"
            "FROM scratch\nCOPY --from=a /file /a\nCOPY --from=b /file /b"
        )
    assert ended.is_set()
