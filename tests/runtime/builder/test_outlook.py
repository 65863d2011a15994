"""What a view of a build needs: all steps before one begins, times, and the step that fails."""

from __future__ import annotations

import pytest

from dockmagic_runtime.builder.plan.outlook import started
from dockmagic_runtime.builder.plan.plan import make_plan
from dockmagic_runtime.dockerfile import parse
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, ProcessFailed
from dockmagic_runtime.model.build import (
    BuildEvent,
    BuildRequest,
    BuildStarted,
    PlannedStep,
    StepDone,
    StepFailed,
    StepStarted,
)
from tests.runtime.builder.conftest import Site
from tests.runtime.builder.test_checks import BASE

TEXT = """FROM a AS base
ENV A=1
RUN one \\
  two
FROM a
WORKDIR /w
COPY --from=base /x file /
CMD ["x"]
"""


def planned(text: str) -> tuple[PlannedStep, ...]:
    request = BuildRequest(dockerfile=text, context=None)
    return started(make_plan(parse(text), request, {"a": BASE}, 4)).planned


def test_all_steps_are_known_before_the_first_begins() -> None:
    rows = [(s.number, s.stage, s.place, s.count, s.line, s.last_line) for s in planned(TEXT)]
    assert rows == [
        (4, "base", 1, 2, 1, 1),
        (5, "stage-1", 1, 3, 5, 5),
        (6, "base", 2, 2, 3, 4),
        (7, "stage-1", 2, 3, 6, 6),
        (8, "stage-1", 3, 3, 7, 7),
    ]
    assert [step.needs for step in planned(TEXT)][-1] == ("base",)
    assert planned(TEXT)[2].name == "[base 2/2] RUN one   two"


def test_the_builders_own_steps_are_known_with_number_and_name() -> None:
    (_, context, copy) = planned("FROM a\nCOPY x /\n")
    assert context == PlannedStep(number=5, name="[internal] load build context")
    assert (copy.number, copy.instruction) == (6, "COPY x /")


@pytest.mark.root
def test_what_was_announced_is_what_begins(site: Site) -> None:
    site.write("file")
    text = "FROM scratch AS one\nCOPY file /\nRUN x\nFROM scratch\nCOPY --from=one /file /\n"
    events = site.events(text)
    (start,) = (event for event in events if isinstance(event, BuildStarted))
    after = events[events.index(start) :]
    begun = {event.number: event for event in after if isinstance(event, StepStarted)}
    for step in start.planned:
        event = begun.pop(step.number)
        assert (event.name, event.instruction) == (step.name, step.instruction)
        assert (event.line, event.last_line) == (step.line, step.last_line)
    assert [event.name for event in begun.values()] == ["exporting to image"]


@pytest.mark.root
def test_steps_have_the_times_of_their_beginning_and_end(mysite: Site) -> None:
    events = mysite.events("FROM scratch\nCOPY . /\nRUN touch\n")
    begun = {event.number: event.time for event in events if isinstance(event, StepStarted)}
    ended = {event.number: event.time for event in events if isinstance(event, StepDone)}
    assert begun.keys() == ended.keys()
    assert all(1e9 < begun[number] <= ended[number] for number in begun)


def failed(site: Site, text: str) -> tuple[StepFailed, DockmagicError]:
    events: list[BuildEvent] = []
    request = BuildRequest(dockerfile=text, context=str(site.context))
    with pytest.raises(DockmagicError) as failure:
        events.extend(site.builder.build(request))
    (event,) = (event for event in events if isinstance(event, StepFailed))
    assert event.number == failure.value.step
    return event, failure.value


@pytest.mark.root
@pytest.mark.parametrize("before", ["", "FROM scratch AS other\nCOPY file /\n"])
def test_the_step_that_fails_is_said_with_its_lines_and_what_it_left(
    site: Site, before: str
) -> None:
    """Also of a build of several stages, whose threads all end."""
    site.write("file")
    site.runner.commands["false"] = lambda process: 3
    lines = before.count("\n")
    text = f'{before}FROM scratch\nCOPY file /\nRUN ["/bin/x", \\\n "false"]\n'
    event, error = failed(site, text)
    assert isinstance(error, ProcessFailed)
    assert (event.line, event.last_line) == (lines + 3, lines + 4)
    assert event.reason == error.message
    assert event.left == error.left != ""
    assert site.builder.failed(event.left).id == site.builder.failed().id


@pytest.mark.root
def test_each_of_the_last_failures_can_be_entered(site: Site) -> None:
    site.write("file")
    site.runner.commands["false"] = lambda process: 1
    names = [
        failed(site, f"FROM scratch\nCOPY file /\nENV N={number}\nRUN false\n")[0].left
        for number in range(10)
    ]
    for name in names[-8:]:
        assert site.builder.failed(name).config.cmd == ("/bin/sh",)
    for name in names[:2]:
        with pytest.raises(NotFound):
            site.builder.failed(name)
    assert site.builder.failed().id == site.builder.failed(names[-1]).id


@pytest.mark.root
def test_a_copy_that_fails_leaves_nothing_to_enter(site: Site) -> None:
    event, error = failed(site, "FROM scratch\nCOPY nothing /\n")
    assert isinstance(error, NotFound)
    assert (event.line, event.left) == (2, "")


@pytest.mark.root
def test_a_step_of_the_builders_own_that_fails_has_no_lines(site: Site) -> None:
    event, error = failed(site, "FROM nowhere\n")
    assert isinstance(error, (NotFound, InvalidInput))
    assert (event.line, event.number) == (0, 2)
