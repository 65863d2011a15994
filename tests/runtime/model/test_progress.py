"""A pull in a few numbers, from the statuses of its layers or of a stand-in's making."""

from __future__ import annotations

from dockmagic_runtime.model.progress import STAND_IN, STEP, PullStatus, PullTotals


def totals(*statuses: PullStatus) -> PullTotals:
    result = PullTotals()
    for status in statuses:
        result.take(status)
    return result


ANNOUNCED = (
    PullStatus(status="Pulling from library/httpd", id="latest"),
    PullStatus(status="Already exists", id="a", size=10),
    PullStatus(status="Pulling fs layer", id="b", size=100),
    PullStatus(status="Pulling fs layer", id="c", size=200),
    PullStatus(status="Waiting", id="c"),
)


def test_the_bytes_of_a_pull_are_known_before_the_first_arrives() -> None:
    result = totals(*ANNOUNCED)
    assert (result.done, result.layers) == (1, 3)
    assert (result.current, result.total) == (10, 310)


def test_what_is_received_counts_once_whatever_follows() -> None:
    steps = (
        PullStatus(status="Downloading", id="b", current=40, total=100),
        PullStatus(status="Downloading", id="c", current=200, total=200),
        PullStatus(status="Download complete", id="c"),
        PullStatus(status="Extracting", id="c", current=0, total=200),
    )
    result = totals(*ANNOUNCED, *steps)
    assert (result.current, result.done) == (250, 1)
    result.take(PullStatus(status="Pull complete", id="c"))
    assert (result.current, result.done) == (250, 2)
    result.take(PullStatus(status="Pull complete", id="b"))
    assert (result.current, result.total, result.done) == (310, 310, 3)


def test_of_a_stand_in_the_steps_are_counted() -> None:
    result = totals(
        PullStatus(status="httpd:latest is a stand-in: …", kind=STAND_IN),
        PullStatus(status="RUN apt-get", id="step 2/5", kind=STEP, step=2, steps=5),
    )
    assert result.stand_in == "httpd:latest is a stand-in: …"
    assert (result.step, result.steps, result.doing) == (2, 5, "RUN apt-get")
    assert (result.layers, result.total) == (0, 0)
