"""Why a step was not in the cache, from the records of earlier builds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.build import BuildDone
from dockmagic_runtime.model.explanation import BuildExplanation
from dockmagic_runtime.model.image import STAND_IN_LABEL
from tests.runtime.builder.conftest import Site

pytestmark = pytest.mark.root

TEXT = """\
FROM mybase AS made
ARG WHO=me
RUN make
COPY --chown=1 one.txt dir /data/
FROM scratch
COPY --from=made /data/one.txt /
ENTRYPOINT ["x"]
"""


@pytest.fixture
def mine(site: Site) -> Site:
    for name in ("one.txt", "dir/two"):
        site.write(name, name)
    _base(site, "one.txt")
    site.build(TEXT)
    return site


def _base(site: Site, file: str) -> None:
    site.images.tag(site.build(f"FROM scratch\nCOPY {file} /", file_name="base").id, "mybase")


def explained(site: Site, text: str = TEXT, **request: Any) -> BuildExplanation:
    (done,) = (event for event in site.events(text, **request) if isinstance(event, BuildDone))
    assert done.explanation is not None
    return done.explanation


def first_reason(site: Site, text: str = TEXT, **request: Any) -> tuple[int, str]:
    steps = explained(site, text, **request).steps
    return next((step.number, step.reason) for step in steps if not step.cached)


CHANGES: dict[str, tuple[Callable[[Site], object], str, tuple[int, str]]] = {
    "a file": (lambda site: site.write("one.txt", "2"), TEXT, (7, "changed: one.txt")),
    "a file more": (lambda site: site.write("dir/new", "2"), TEXT, (7, "new: dir/new")),
    "a command": (
        lambda site: None, TEXT.replace("RUN make", "RUN other"), (6, "changed: the command"),
    ),
    "a mount": (
        lambda site: None, TEXT.replace("RUN", "RUN --mount=type=tmpfs,target=/t"),
        (6, "changed: --mount"),
    ),
    "an argument": (
        lambda site: None, TEXT.replace("me", "you", 1),
        (6, "changed: the argument WHO"),
    ),
    "an owner and a mode": (
        lambda site: None, TEXT.replace("--chown=1", "--chown=2 --chmod=1"),
        (7, "changed: --chown, --chmod"),
    ),
    "the base": (
        lambda site: _base(site, "dir"), TEXT,
        (6, "what the stage begins with is another one than before"),
    ),
    "a variable": (
        lambda site: None, TEXT.replace("RUN make", "ENV A=1\nRUN make"),
        (6, "changed: the variable A"),
    ),
    "another instruction": (
        lambda site: None, TEXT.replace("RUN make", "WORKDIR /w"),
        (6, "a new instruction: the last build had RUN here"),
    ),
    "one at the end": (lambda site: None, f"{TEXT}WORKDIR /w", (9, "not built before")),
    "the cache": (
        lambda site: site.builder.prune_cache(), TEXT, (6, "not built before"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_the_part_that_changed_is_named(mine: Site, what: str) -> None:
    change, text, expected = CHANGES[what]
    change(mine)
    assert first_reason(mine, text) == expected


def test_an_argument_that_was_given_is_named_where_it_counts(mine: Site) -> None:
    mine.build(TEXT, build_args={"WHO": "a"})
    assert first_reason(mine, build_args={"WHO": "b"}) == (6, "changed: the argument WHO")


def test_values_are_not_kept(mine: Site) -> None:
    mine.build(f"{TEXT}LABEL x=1", build_args={"WHO": "value-of-an-argument"}, tags=("t",))
    rows = mine.database.rows("SELECT facts FROM build_cache")
    assert not [facts for (facts,) in rows if "value-of-an-argument" in facts]


def test_series_do_not_mix(mine: Site) -> None:
    """Another name, file, target or context is another history."""
    other = TEXT.replace("RUN make", "RUN other")
    for request in ({"tags": ("x",)}, {"file_name": "b"}, {"target": "made"}):
        mine.builder.prune_cache()
        mine.build(TEXT)
        assert first_reason(mine, other, **request) == (6, "not built before")


def test_a_build_is_explained_by_what_it_recorded(mine: Site) -> None:
    mine.write("one.txt", "2")
    image = mine.build(TEXT)
    explanation = mine.builder.explain(image.id)
    assert [(step.number, step.kind, step.cached) for step in explanation.steps] == [
        (4, "base", True),
        (6, "run", True),
        (7, "copy", False),
        (8, "copy", False),
    ]
    assert [step.name for step in explanation.steps] == [
        "[made 1/3] FROM docker.io/library/mybase:latest",
        "[made 2/3] RUN make",
        "[made 3/3] COPY --chown=1 one.txt dir /data/",
        "[stage-1 1/1] COPY --from=made /data/one.txt /",
    ]
    assert explanation.steps[2].files == 2
    assert explanation.steps[1].created.endswith("Z")
    assert explanation.steps[3].needs == (7,)


def test_a_build_after_which_only_the_config_differs_is_explained(mine: Site) -> None:
    image = mine.build(f"{TEXT}LABEL x=1")
    assert all(step.cached for step in mine.builder.explain(image.id).steps)


def test_a_build_that_had_nothing_to_do_keeps_the_explanation_of_the_one_before(
    mine: Site,
) -> None:
    image = mine.build(TEXT)
    assert all(step.cached for step in explained(mine).steps)
    assert not all(step.cached for step in mine.builder.explain(image.id).steps)


def test_an_image_from_elsewhere_is_not_explained(mine: Site) -> None:
    image = mine.build(TEXT)
    mine.builder.prune_cache()
    with pytest.raises(NotFound, match="it is not known how"):
        mine.builder.explain(image.id)


def test_what_a_stage_begins_with_is_told_apart(mine: Site) -> None:
    text = TEXT + "FROM made AS more\nLABEL x=1\nFROM more\nCOPY --from=1 /one.txt /\n"
    steps = explained(mine, text).steps
    assert [step.instruction for step in steps if step.begins] == ["FROM mybase AS made"]
    # a stage that begins with another one needs the last step below it, and what it copies
    assert steps[-1].needs == (7, 8)


def test_the_build_of_a_stand_in_is_known_as_one(mine: Site) -> None:
    text = "FROM scratch\nCOPY one.txt /"
    assert explained(mine, text, labels={STAND_IN_LABEL: "of nothing"}).is_stand_in
    image = mine.build("FROM scratch\nCOPY dir /", labels={STAND_IN_LABEL: "of nothing"})
    assert mine.builder.explain(image.id).is_stand_in  # from the record
    mine.images.tag(image.id, "stand-in")
    assert not explained(mine, "FROM stand-in\nCOPY one.txt /").is_stand_in  # although labelled
