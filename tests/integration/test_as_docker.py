"""Networks, links and ports, command line by command line, beside what Docker answers.

The files have Docker's answers; where ours is another on purpose they have it too, and why.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine

from .answers import Answer, answers

pytestmark = [pytest.mark.root, pytest.mark.network]
Step = dict[str, Any]
CASES: dict[str, list[Step]] = {
    f"{kind}: {name}": steps
    for kind in ("links", "networks")
    for name, steps in json.loads((Path(__file__).parent / f"docker_{kind}.json").read_text())[
        "cases"
    ].items()
}


def expected(step: Step) -> Answer:
    """Ours if it is another on purpose, else Docker's, as Docker 28 says it."""
    expected = step | step.get("ours", {})
    answer = Answer(expected.get("code", 0), expected.get("out", ""), expected.get("err", ""))
    newer = answer.out.replace("fe00::0\t", "fe00::\t").replace("ff00::0\t", "ff00::\t")
    return replace(answer, out=newer)


@pytest.mark.usefixtures("own_subnets")
@pytest.mark.parametrize("name", CASES)
def test_answers_are_dockers(engine: Engine, capfd: pytest.CaptureFixture[str], name: str) -> None:
    session = Session()
    session.use(engine)

    def ask(line: str) -> Answer:
        code = main(shlex.split(line), session)
        return Answer(code, *capfd.readouterr())

    steps = CASES[name]
    for step, ours in zip(steps, answers(ask, [step["do"] for step in steps]), strict=True):
        wanted = expected(step)
        assert ours.agrees(wanted), f"{step['do']}\nours:   {ours}\nwanted: {wanted}"


def test_every_difference_has_its_reason() -> None:
    steps = [step for case in CASES.values() for step in case]
    assert [step["do"] for step in steps if ("ours" in step) != ("why" in step)] == []
