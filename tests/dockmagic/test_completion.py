"""Tab in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dockmagic.commands.complete.dockerfile import complete_dockerfile, stages

from .fake_engine import FakeEngine

CURSOR = "▮"


@pytest.fixture
def tab(shell: Any, run: Any, tmp_path: Path) -> Any:
    """What a front end offers for the cell with its cursor at ▮: the whole words."""
    from IPython.core.completer import provisionalcompleter

    for line in ("-d --name web -p 9999:80", "-d --name worker", "--name old"):
        run(f"%docker {'run' if '-d' in line else 'create'} {line} httpd")
    (tmp_path / "data").mkdir()
    (tmp_path / "my notes").mkdir()
    (tmp_path / "Dockerfile").write_text("FROM httpd AS first\nFROM scratch\n")

    def offered(cell: str) -> list[str]:
        text, cursor = cell.replace(CURSOR, ""), cell.index(CURSOR)
        with provisionalcompleter():
            hits = list(shell.Completer.completions(text, cursor))
        words = set()
        for hit in hits:
            start = max(text.rfind(blank, 0, cursor) for blank in " \n") + 1
            words.add(text[start : hit.start] + hit.text)
        return sorted(words)

    return offered


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%docker stop w▮", ["web", "worker"]),
        ("%docker rm o▮", ["old"]),
        ("%docker stop old▮", []),
        ("%run_container --publ▮", ["--publish", "--publish-all"]),
        ("x = %docker ru▮", ["run"]),
        ("x = %docker stop we▮", ["web"]),
        ("%docker x << sto▮", ["stop"]),
        ("%docker image h▮", ["history"]),
        ("%docker history htt▮", ["httpd:latest"]),
        ("%docker stop web && docker unp▮", ["unpause"]),
        ("%docker rm $(docker p▮", ["pause", "port", "ps", "pull", "push"]),
        ("%%docker\ndocker unp▮", ["unpause"]),
        ("%%docker\nunp▮\n", ["unpause"]),
        ("%%docker\ncd data && docker rm wo▮\n", ["worker"]),
        ("!docker rm wo▮", ["worker"]),
        ("%container l▮", ["logs", "ls"]),
        ("%network dr▮", ["draw"]),
        ("%network fr▮", ["front"]),
        ("%network trace loc▮", ["localhost:9999"]),
        # flags and their values
        ("%docker run --restart un▮", ["unless-stopped"]),
        ("%docker run --restart=un▮", ["--restart=unless-stopped"]),
        ("%docker run --network=fr▮", ["--network=front"]),
        ("%docker run --cap-add NET_A▮", ["NET_ADMIN"]),
        ("%docker kill -s HU▮", ["HUP"]),
        ("%docker ps --filter stat▮", ["status="]),
        ("%docker ps -f status=ru▮", ["status=running"]),
        ("%docker ps -f name=wo▮", ["name=worker"]),
        ("%run_container --no-r▮", ["--no-raise-error"]),
        ("%docker build --target fi▮", ["first"]),
        ("%docker build -f Dock▮", ["Dockerfile"]),
        ("%docker build da▮", ["data/"]),
        ("%docker run --gp▮", []),
        # images, and those that can be made here
        ("%pull u▮", ["ubuntu"]),
        ("%docker run -d ub▮", ["ubuntu"]),
        ("%run_container ht▮", ["httpd", "httpd:latest"]),
        # in containers and images
        ("%exec web l▮", ["less", "ln", "ls"]),
        ("%docker exec -it web motd▮", []),
        ("%exec web /bin/l▮", ["/bin/ln", "/bin/ls"]),
        ("%exec web cat /e▮", ["/etc/"]),
        ("%exec web cat /etc/mo▮", ["/etc/motd"]),
        ("%exec -w /us▮ web ls", ["/usr/"]),
        ("%docker run httpd le▮", ["less"]),
        ("%docker cp web:/etc/mo▮ .", ["web:/etc/motd"]),
        ("%docker cp we▮", ["web:"]),
        ("%docker cp da▮", ["data/"]),
        # volumes
        ("%docker run -v ./da▮", ["./data/"]),
        ("%docker run -v ./data:/us▮ httpd", ["./data:/usr/"]),
        ("%docker run -v ./data:/var/l▮", ["./data:/var/lib", "./data:/var/log"]),
        ("%docker run -v ./data:/x:r▮", ["./data:/x:ro", "./data:/x:rw"]),
        ("%docker run --mount type=bind,source=da▮", ["type=bind,source=data/"]),
        ("%docker run --mount type=b▮", ["type=bind"]),
        # explain
        ("%explain r▮", ["run"]),
        ("%explain we▮", ["web"]),
        ("%explain run --rest▮", ["--restart"]),
        ("%explain build --tar▮", ["--target"]),
        ("%explain run hello▮", []),
    ],
)
def test_tab(tab: Any, cell: str, expected: list[str]) -> None:
    assert tab(cell) == expected


def test_other_lines_are_ipythons(shell: Any) -> None:
    complete = shell._dockmagic_extension.completer.candidates
    assert complete("print(") == ("", [])
    assert complete("%time docker r") == ("", [])
    assert complete("!ls do") == ("", [])
    assert complete("x = 5 % ps") == ("", [])


def test_names_with_blanks_are_escaped(tab: Any, shell: Any) -> None:
    complete = shell._dockmagic_extension.completer.candidates
    assert complete("%docker build my") == ("my", [("my\\ notes/", "path")])
    assert complete("%docker build 'my n") == ("'my n", [("'my notes/", "path")])
    assert complete("%exec web cat /etc/my") == ("/etc/my", [("/etc/my\\ file", "path")])


def test_what_a_candidate_is_shows(tab: Any, shell: Any) -> None:
    complete = shell._dockmagic_extension.completer.candidates
    kinds = {kind for _, kind in complete("%docker inspect ")[1]}
    assert {"container", "image", "network"} <= kinds
    assert complete("%docker im")[1][0] == ("image", "verb")
    assert complete("%ps --no")[1] == [("--no-trunc", "flag")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FR▮", ["FROM"]),
        ("FROM httpd\ner▮", []),
        ("FROM httpd\nen▮", ["ENTRYPOINT", "ENV"]),
        ("FROM u▮", ["ubuntu"]),
        ("FROM --pl▮", ["--platform="]),
        ("FROM httpd ▮", ["AS"]),
        ("FROM httpd AS a\nFROM a▮", ["a", "alpine"]),
        ("FROM httpd AS one\nFROM alpine\nCOPY --from=▮", ["--from=httpd:latest", "--from=one"]),
        ("FROM httpd\nFROM alpine\nCOPY --from=0▮", ["--from=0"]),
        ("FROM httpd AS one\nFROM scratch\nCOPY --from=one /us▮", ["/usr/"]),
        ("FROM httpd\nCOPY --ch▮", ["--chmod=", "--chown="]),
        ("FROM httpd\nCOPY da▮", ["data/"]),
        ("FROM httpd\nCOPY data /us▮", ["/usr/"]),
        ("FROM httpd\nWORKDIR /us▮", ["/usr/"]),
        ("FROM httpd\nRUN le▮", ["less"]),
        ("FROM httpd\nRUN --mount=type=c▮", ["--mount=type=cache", "--mount=type=cache,target="]),
        ("FROM httpd\nRUN cat \\\n  /etc/mo▮", ["/etc/motd"]),
        ("FROM httpd\nENV HOME_OF=/x\nRUN echo $HO▮", ["$HOME_OF"]),
        ("ARG VERSION=1\nFROM httpd:${V▮", ["httpd:${VERSION}"]),
        ("FROM httpd\nONBUILD co▮", ["COPY"]),
    ],
)  # fmt: skip
def test_tab_in_a_dockerfile_cell(tab: Any, text: str, expected: list[str]) -> None:
    assert tab(f"%%dockerfile -t x\n{text}") == expected


def test_a_dockerfile_that_is_not_valid_has_stages() -> None:
    text = "from a\nnonsense\nFROM --platform=x b AS c\nCOPY --fr"
    assert [(stage.base, stage.name) for stage in stages(text)] == [("a", ""), ("b", "c")]


def test_an_engine_that_fails_offers_keywords() -> None:
    def engine() -> FakeEngine:
        raise PermissionError

    assert complete_dockerfile(engine, "FROM ht") == ("ht", [])
    assert [hit.text for hit in complete_dockerfile(engine, "WORK")[1]] == ["WORKDIR"]
