"""`docker volume …` on real volumes, without containers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dockmagic import cli, commands
from dockmagic.commands.output.result import Question, Result
from dockmagic.session import Session
from dockmagic_runtime.engine.volumes import LocalVolumes
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.volumes.store import VolumeStore


class VolumeEngine:
    """The façade's volume verbs."""

    def __init__(self, data_root: DataRoot, database: Database) -> None:
        store = VolumeStore(data_root, database)
        self.data_root = data_root
        components: Any = SimpleNamespace(volumes=store, database=database)
        self.volumes = LocalVolumes(components)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[VolumeEngine]:
    data_root = DataRoot(str(tmp_path / "area"), "test")
    for path in (data_root.volumes, data_root.scratch, data_root.containers):
        path.mkdir(parents=True)
    database = Database(data_root.database)
    yield VolumeEngine(data_root, database)
    database.close()


def docker(engine: VolumeEngine, line: str) -> Any:
    outcome = commands.execute(cast("Any", engine), commands.parse(line.split()))
    if isinstance(outcome, Result):
        return outcome
    (event,) = outcome
    return event


def test_create_prints_the_name(engine: VolumeEngine) -> None:
    assert str(docker(engine, "volume create data")) == "data"
    assert str(docker(engine, "volume create --name other")) == "other"
    anonymous = docker(engine, "volume create --label a=b")
    assert len(str(anonymous)) == 64
    assert repr(anonymous) == "(anonymous volume)"
    with pytest.raises(DockmagicError, match="cannot specify a volume-name through both --name"):
        docker(engine, "volume create --name a1 b1")


def test_ls(engine: VolumeEngine) -> None:
    for name in ("v10", "v2"):
        docker(engine, f"volume create --label tier=web {name}")
    anonymous = str(docker(engine, "volume create"))
    shown = docker(engine, "volume ls")
    assert str(shown).splitlines() == [
        "DRIVER    VOLUME NAME",
        f"local     {anonymous}",
        "local     v2",
        "local     v10",
    ]
    assert repr(shown).splitlines()[1] == "local     (anonymous)"
    assert str(docker(engine, "volume ls -q -f name=v")) == "v2\nv10"
    assert str(docker(engine, "volume list -f label=tier=db")) == "DRIVER    VOLUME NAME"
    assert str(docker(engine, "volume ls --format {{.Name}}:{{.Labels}} -f name=v2")) == (
        "v2:tier=web"
    )
    row = json.loads(str(docker(engine, "volume ls --format json -f name=v2")))
    assert row["Mountpoint"].endswith("/volumes/v2/_data")
    assert (row["Scope"], row["Size"], row["Links"]) == ("local", "N/A", "N/A")
    assert docker(engine, "volume ls").rows()[1]["name"] == "v2"
    with pytest.raises(DockmagicError, match="invalid filter 'colour'"):
        docker(engine, "volume ls -f colour=red")


def test_ls_sorts_as_people_do(engine: VolumeEngine) -> None:
    for name in ("w10", "w9", "0ab", "w-1", "w", "aw"):
        docker(engine, f"volume create {name}xx")
    assert str(docker(engine, "volume ls -q")).split() == [
        "0abxx", "awxx", "w-1xx", "w9xx", "w10xx", "wxx",
    ]  # fmt: skip


def test_inspect(engine: VolumeEngine) -> None:
    docker(engine, "volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=3 memory")
    result = docker(engine, "volume inspect memory nope")
    (volume,) = json.loads(str(result))
    assert volume["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=3"}
    assert [error.message for error in result.errors] == ["get nope: no such volume"]
    assert str(docker(engine, "volume inspect -f {{.Name}} memory")) == "memory"
    assert str(docker(engine, "inspect --type=volume -f {{.Driver}} memory")) == "local"


def test_rm_goes_on_after_a_failure(engine: VolumeEngine) -> None:
    docker(engine, "volume create data")
    removed = docker(engine, "volume rm nope data")
    assert str(removed) == "data"
    assert [error.message for error in removed.errors] == ["get nope: no such volume"]
    assert str(docker(engine, "volume remove -f nope")) == "nope"


def test_prune_asks_first(engine: VolumeEngine) -> None:
    named, anonymous = (str(docker(engine, f"volume create {n}")) for n in ("named", ""))
    question = docker(engine, "volume prune")
    assert isinstance(question, Question)
    assert question.text == (
        "WARNING! This will remove anonymous local volumes not used by at least one container.\n"
        "Are you sure you want to continue?"
    )
    assert "remove all local volumes" in docker(engine, "volume prune -a").text
    assert str(question.proceed()) == (
        f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 0B"
    )
    assert str(docker(engine, "volume prune -f")) == "Total reclaimed space: 0B"
    assert repr(docker(engine, "volume prune -af")) == "1 volume removed"
    assert str(docker(engine, "volume ls -q")) == ""
    assert named == "named"
    with pytest.raises(DockmagicError, match="cannot specify both --all and --filter all=1"):
        docker(engine, "volume prune -a --filter all=1")


@pytest.mark.parametrize(("answer", "left"), [("y\n", ""), ("n\n", "x"), ("", "x")])
def test_the_terminal_asks(
    engine: VolumeEngine,
    answer: str,
    left: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    docker(engine, "volume create")
    (tmp_path / "answer").write_text(answer)
    session = Session()
    session.use(cast("Any", engine))
    with (tmp_path / "answer").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert cli.main(["volume", "prune"], session) == 0
    shown = capsys.readouterr()
    assert "Are you sure you want to continue? [y/N] " in shown.out
    assert bool(engine.volumes.list()) is bool(left)


def test_a_notebook_cannot_be_asked(engine: VolumeEngine) -> None:
    with pytest.raises(DockmagicError, match="docker volume prune --force"):
        raise docker(engine, "volume prune").unanswered()


def test_what_is_swarms_says_so(engine: VolumeEngine) -> None:
    with pytest.raises(DockmagicError, match="--availability of 'docker volume create'"):
        docker(engine, "volume create --availability active v1")
