"""Mistakes that only the engine knows of, in a notebook and on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic.cli import main
from dockmagic.errors import ContainerExitError, MagicError

pytestmark = [pytest.mark.root, pytest.mark.network]

# The line, what its message names, what its hint says.
WORLD = [
    ("exec webb ls", "No such container: webb", "did you mean web?"),
    ("exec nobody ls", "No such container: nobody", "ps -a' lists them all"),
    ("run -d --name web busybox", 'The container name "/web" is already in use', ""),
    ("run -d -p 127.0.0.1:{port}:80 busybox", "Bind for 127.0.0.1:{port} failed", "host port"),
    ("run --rm busybox nope", 'exec: "nope"', "the image has no such program"),
    ("run --rm busybox -d", 'exec: "-d"', "flags go before the image"),
    ("run --rm busybox /etc", 'exec: "/etc": is a directory', ""),
    ("run --rm --network nonet busybox", "network nonet not found", "did you mean"),
    ("run --rm -u nobodyhere busybox true", "unable to find user nobodyhere", ""),
    ("run --rm Busybox", "repository name (library/Busybox) must be lowercase", ""),
    ("run --pull never buzybox", "No such image: buzybox:latest", "similar: busybox:latest"),
    ("exec done ls", "is not running", "start done' starts it"),
    ("attach done", "You cannot attach to a stopped container, start it first", ""),
    ("rm web", 'container "/web": container is running', ""),
    ("rmi nosuch", "No such image: nosuch:latest", "images' lists those that are here"),
    ("kill -s FOO web", "invalid signal: FOO", "TERM"),
    ("unpause web", "is not paused", ""),
    ("explain fresh", "Container fresh has not been started", "start it"),
    ("run --rm --device /dev/nope busybox", '"/dev/nope": no such file or directory', ""),
    ("run --rm --mount type=bind,src=/nope,dst=/x busybox", "/nope", ""),
]  # fmt: skip


@pytest.fixture
def engine(stocked_engine: Any) -> Any:
    return stocked_engine


def test_each_is_one_line_in_both(
    run: Any, session: Any, engine: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    web = run("%docker run -d --name web -p 127.0.0.1:0:80 busybox sleep 300").value
    port = web.ports["80/tcp"]
    run("%docker run --name done busybox true")
    run("%docker create --name fresh busybox")
    capfd.readouterr()
    for line, named, advice in WORLD:
        words, message, hint = (text.format(port=port) for text in (line, named, advice))
        cell = run(f"%docker {words}")
        assert isinstance(cell.error, MagicError), words
        assert message in cell.traceback[0], words
        assert hint in " ".join(cell.traceback[1:]), words
        assert main(words.split(), session) != 0
        complaint = capfd.readouterr().err
        assert complaint.count("\n") == 1, complaint
        assert message in complaint
        assert hint in complaint


def test_a_dockerfile_without_instructions_says_so(run: Any) -> None:
    cell = run("%%dockerfile -t x\n# nothing\n")
    assert "no instructions" in cell.traceback[0]


def test_an_exit_code_is_told_with_its_meaning(run: Any) -> None:
    cell = run("%docker run --rm busybox sh -c 'exit 137'")
    assert isinstance(cell.error, ContainerExitError)
    assert cell.traceback == [
        "busybox exited with 137",
        "  killed, by SIGKILL or for want of memory",
    ]
