"""Called as `docker`, by a link of that name, errors are those of Docker's client, to the letter.

The file has what client 28 answered; what is another on purpose has our answer and the reason.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.store.data_root import DataRoot

from .docker_frames import FILE, Step, ask

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(300)]
CASES: dict[str, list[Step]] = json.loads(FILE.read_text())["cases"]
STARTER = f"""\
#!{sys.executable}
from dockmagic.cli import main
main()
"""


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A link of that name to the program that an installation makes."""
    program = tmp_path / "bin" / "dockmagic"
    program.parent.mkdir()
    program.write_text(STARTER)
    program.chmod(0o755)
    link = program.with_name("docker")
    link.symlink_to(program)
    return link


@pytest.mark.parametrize("name", CASES)
def test_command_line_frames_are_those_of_dockers_client(
    engine: Engine, data_root: DataRoot, docker: Path, tmp_path: Path, name: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(data_root.root), "HOME": str(tmp_path)}
    different = []
    for step in CASES[name]:
        recorded = {key: value for key, value in step.items() if key not in ("ours", "why")}
        wanted = {key: value for key, value in (recorded | step.get("ours", {})).items() if value}
        answer = ask(str(docker), step["do"], environment, here)
        if answer != wanted:
            different.append((answer, wanted))
    assert different == []


def test_command_line_each_difference_has_its_reason() -> None:
    steps = [step for case in CASES.values() for step in case]
    assert len(steps) > 60
    assert [step["do"] for step in steps if ("ours" in step) != ("why" in step)] == []


@pytest.mark.parametrize(
    ("called", "line", "err"),
    [
        ("docker", "rm nosuch", "Error response from daemon: No such container: nosuch\n"),
        ("dockmagic", "rm nosuch", "dockmagic: No such container: nosuch ('docker ps -a' lists"),
    ],
)
def test_command_line_the_name_decides(
    data_root: DataRoot, docker: Path, tmp_path: Path, called: str, line: str, err: str
) -> None:
    environment: dict[str, Any] = {**os.environ, "DOCKMAGIC_ROOT": str(data_root.root)}
    program = str(docker.with_name(called))
    answer = ask(program, f"docker {line}", environment, tmp_path)
    assert answer["err"].startswith(err.replace("'docker", f"'{called}"))
    assert answer["code"] == 1
