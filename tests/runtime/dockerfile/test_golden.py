"""Golden folders: `data/<case>/Dockerfile`, and in `expected` what it is read as, or the errors.

A case is two files. Those of a `-negative` case must be refused. To write the
answers of new cases, run with DOCKMAGIC_WRITE_GOLDEN=1 and read what was written.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime.dockerfile import Dockerfile, DockerfileError, parse, render
from dockmagic_runtime.dockerfile.instructions import Instruction

DATA = Path(__file__).parent / "data"
CASES = sorted(path.name for path in DATA.iterdir())


def shown(instruction: Instruction) -> str:
    position = instruction.position
    return f"{position.line}-{position.last_line}: {instruction!r}"


def dumped(dockerfile: Dockerfile) -> str:
    rows = [f"{name}: {value}" for name, value in dockerfile.directives.items()]
    rows += map(shown, dockerfile.arguments)
    for stage in dockerfile.stages:
        rows += [f"stage {stage.index}", shown(stage.base), *map(shown, stage.instructions)]
    rows += [f"warning: {warning}" for warning in dockerfile.warnings]
    return "\n".join(rows) + "\n"


def answer(text: str) -> str:
    try:
        return dumped(parse(text))
    except DockerfileError as error:
        places = (f"{each.line}:{each.column}: {each.sentence}\n" for each in error.problems)
        return "".join(["error\n", *places])


@pytest.mark.parametrize("case", CASES)
def test_a_dockerfile_is_read_as_expected(case: str) -> None:
    with (DATA / case / "Dockerfile").open(newline="") as stream:
        got = answer(stream.read())
    expected = DATA / case / "expected"
    if os.environ.get("DOCKMAGIC_WRITE_GOLDEN") and not expected.exists():
        expected.write_text(got)
    assert got == expected.read_text()


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("-negative")])
def test_a_negative_case_is_refused(case: str) -> None:
    assert (DATA / case / "expected").read_text().startswith("error\n")


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith("-negative")])
def test_a_dockerfile_survives_being_printed(case: str) -> None:
    text = (DATA / case / "Dockerfile").read_text()
    assert parse(render(parse(text))) == parse(text)
