"""`docker completion`: candidates for every place of a line, and the script in a real bash."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.complete import complete
from dockmagic.commands.system.complete import split

from .fake_engine import FakeEngine


def offered(engine: FakeEngine, line: str) -> list[str]:
    return [candidate.text for candidate in complete(lambda: engine, split(line)[1:])]


@pytest.fixture
def busy(engine: FakeEngine) -> FakeEngine:
    for line in ("run -d --name web httpd", "run -d --name worker httpd"):
        list(commands.execute(engine, commands.parse(line.split())))
    return engine


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("docker ru", ["run"]),
        ("docker netw", ["network"]),
        ("docker network l", ["ls"]),
        ("docker container pru", ["prune"]),
        ("docker ps --no", ["--no-trunc"]),
        ("docker --log", ["--log-level"]),
        ("docker --log-level wa", ["warn"]),
        ("docker -l debug ru", ["run"]),
        ("docker help ru", ["run"]),
        ("docker run --pull m", ["missing"]),
        ("docker run --restart un", ["unless-stopped"]),
        ("docker stop we", ["web"]),
        ("docker stop web wo", ["worker"]),
        ("docker exec web wo", []),
        ("docker run -it --name x htt", ["httpd", "httpd:latest"]),
        ("docker run httpd --rm", []),
        ("docker run --pid container:w", ["container:web", "container:worker"]),
        ("docker rm -f w", ["web", "worker"]),
        ("docker nosuch ", []),
        ("docker ps --nosuch x --f", ["--filter", "--format"]),
    ],
)
def test_candidates(busy: FakeEngine, line: str, expected: list[str]) -> None:
    assert offered(busy, line) == expected


def test_own_and_hidden_flags(busy: FakeEngine) -> None:
    flags = offered(busy, "docker run --")
    assert {"--from-failed", "--detach", "--help"} <= set(flags)
    assert not {"--net", "--gpus"} & set(flags)


def test_an_engine_that_fails_offers_nothing() -> None:
    def engine() -> Any:
        raise PermissionError

    assert complete(engine, ["stop", ""]) == []
    assert complete(engine, ["stop", "--ti"])[0].text == "--timeout"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("docker run ", ["docker", "run", ""]),
        ("docker run 'a b' c", ["docker", "run", "a b", "c"]),
        (r"docker run a\ b", ["docker", "run", "a b"]),
        ('docker run "a b', ["docker", "run", "a b"]),
    ],
)
def test_a_line_that_is_not_finished_has_words(line: str, words: list[str]) -> None:
    assert split(line) == words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_asks_us(dockmagic: Any, shell: str) -> None:
    code, out, _ = dockmagic(f"completion {shell}")
    assert (code, f"__complete {shell}" in out) == (0, True)
    assert dockmagic("completion tcsh")[0] == 1


@pytest.mark.skipif(not shutil.which("bash"), reason="optional: bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dockmagic ru", "run"),
        ("dockmagic volume pr", "prune"),
        ("dockmagic ps --no-", "--no-trunc"),
        ("dockmagic --log-level=", "debug error fatal info warn"),
    ],
)
def test_the_script_works_in_bash(tmp_path: Path, line: str, expected: str) -> None:
    program = tmp_path / "dockmagic"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dockmagic "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "script"
    with script.open("wb") as file:
        subprocess.run([program, "completion", "bash"], stdout=file, check=True)
    words = " ".join(f"'{word}'" for word in line.split(" "))
    result = subprocess.run(
        [
            "bash", "-c",
            f"PATH={tmp_path}:$PATH; source {script}; COMP_LINE='{line}'; "
            f"COMP_POINT={len(line)}; COMP_WORDS=({words}); COMP_CWORD={line.count(' ')}; "
            '__dockmagic_complete; echo "${COMPREPLY[@]}"',
        ],
        capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin",
        "DOCKMAGIC_ROOT": str(tmp_path / "area"), "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert (result.stdout.strip(), result.stderr) == (expected, "")
