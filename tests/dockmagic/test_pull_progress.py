"""A pull's progress: one bar, and a stand-in said once."""

from __future__ import annotations

import pytest

from dockmagic.widgets.pull import Transfer, line_of
from dockmagic_runtime.model.progress import PullStatus


def transfer(*events: tuple[str, str, int, int]) -> Transfer:
    pull = Transfer()
    for id, status, current, total in events:
        pull.add(PullStatus(id=id, status=status, current=current, total=total))
    return pull


def test_notebook_b7_all_layers_are_one_bar_with_bytes_and_layers() -> None:
    pull = transfer(
        ("12", "Pulling from library/httpd", 0, 0),
        ("a", "Already exists", 0, 0),
        ("b", "Pulling fs layer", 0, 0),
        ("c", "Pulling fs layer", 0, 0),
        ("b", "Downloading", 5_000_000, 10_000_000),
        ("c", "Downloading", 1, 30_000_000),
    )
    assert pull.facts() == ["1 of 3 layers", "5MB of 40MB"]
    assert pull.share == pytest.approx((1 + 0.4 + 0) / 3, abs=0.001)
    assert str(pull.draw("httpd", 2)).count("dm-bar") == 1
    assert pull.activity() == ["b  Downloading", "c  Downloading"]


def test_the_bar_never_goes_back() -> None:
    steps = [("Pulling fs layer", 0, 0), ("Downloading", 5, 10), ("Downloading", 10, 10),
             ("Verifying Checksum", 0, 0), ("Download complete", 0, 0), ("Extracting", 5, 10),
             ("Extracting", 10, 10), ("Pull complete", 0, 0)]  # fmt: skip
    pull, shares = Transfer(), []
    for status, current, total in steps:
        pull.add(PullStatus(id="a", status=status, current=current, total=total))
        shares.append(pull.share)
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert shares[-1] == 1


def test_notebook_b7_a_stand_in_has_its_stage_of_how_many() -> None:
    pull = transfer(("root", "Unpacking packages", 3, 9))
    assert pull.facts() == ["stage 3 of 9"]
    assert pull.share == pytest.approx(1 / 3)
    pull.add(PullStatus(id="step 2", status="RUN apt-get install <b>x</b>"))
    assert pull.facts() == ["step 2"]
    assert "&lt;b&gt;" in str(pull.draw("httpd", 1))


def test_notebook_b22_a_stand_in_is_said_once_and_in_amber() -> None:
    lines = [
        'Get "https://registry/v2/": lookup: no such host; taking a stand-in from the catalogue',
        "httpd:latest is a stand-in: Apache of Debian 12",
        "Making a minimal root of Debian 12, once, by mmdebstrap",
    ]
    assert "".join(map(line_of, lines)) == (
        "\x1b[33mhttpd:latest is a stand-in: Apache of Debian 12\x1b[0m\n"
    )
    assert line_of("Status: Image is up to date for x") == "Status: Image is up to date for x\n"
