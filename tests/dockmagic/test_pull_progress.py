"""A pull's progress: one bar, and a stand-in said once."""

from __future__ import annotations

import pytest

from dockmagic.widgets.pull import Transfer, line_of
from dockmagic_runtime.model.progress import STAND_IN, STEP, PullStatus


def transfer(*events: PullStatus) -> Transfer:
    pull = Transfer()
    for event in events:
        pull.add(event)
    return pull


def layer(id: str, status: str, current: int = 0, total: int = 0, size: int = 0) -> PullStatus:
    return PullStatus(id=id, status=status, current=current, total=total, size=size)


def test_notebook_b7_all_layers_are_one_bar_with_bytes_and_layers() -> None:
    pull = transfer(
        layer("12", "Pulling from library/httpd"),
        layer("a", "Already exists", size=10_000_000),
        layer("b", "Pulling fs layer", size=10_000_000),
        layer("c", "Pulling fs layer", size=20_000_000),
        layer("b", "Downloading", 5_000_000, 10_000_000),
        layer("c", "Downloading", 1, 20_000_000),
    )
    assert pull.facts() == ["1 of 3 layers", "15MB of 40MB"]
    assert pull.share == pytest.approx(0.8 * 15 / 40 + 0.2 / 3, abs=0.001)
    assert str(pull.draw("httpd", 2)).count("dm-bar") == 1
    assert pull.activity() == ["b  Downloading", "c  Downloading"]


def test_the_bar_never_goes_back() -> None:
    steps = [("Pulling fs layer", 0, 0), ("Downloading", 5, 10), ("Downloading", 10, 10),
             ("Verifying Checksum", 0, 0), ("Download complete", 0, 0), ("Extracting", 5, 10),
             ("Extracting", 10, 10), ("Pull complete", 0, 0)]  # fmt: skip
    pull, shares = Transfer(), []
    for status, current, total in steps:
        pull.add(layer("a", status, current, total, size=10))
        shares.append(pull.share or 0.0)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_notebook_b7_a_stand_in_has_its_step_of_how_many() -> None:
    step = PullStatus(status="RUN apt-get install <b>x</b>", kind=STEP, step=3, steps=12)
    pull = transfer(PullStatus(status="httpd is a stand-in", kind=STAND_IN), step)
    assert pull.facts() == ["stand-in: step 3 of 12"]
    assert pull.share == pytest.approx(2 / 12)
    assert "&lt;b&gt;" in str(pull.draw("httpd", 1))


def test_notebook_b22_a_stand_in_is_said_once_and_in_amber() -> None:
    events = [
        PullStatus(status="httpd:latest is a stand-in: Apache of Debian 12", kind=STAND_IN),
        PullStatus(status="Making a minimal root of Debian 12, once, by mmdebstrap"),
        PullStatus(status="Unpacking", kind=STEP, step=1, steps=9),
        layer("a", "Downloading"),
    ]
    assert "".join(map(line_of, events)) == (
        "\x1b[33mhttpd:latest is a stand-in: Apache of Debian 12\x1b[0m\n"
    )
    up_to_date = "Status: Image is up to date for x"
    assert line_of(PullStatus(status=up_to_date)) == f"{up_to_date}\n"
