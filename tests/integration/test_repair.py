"""Security 5 and 13: a damaged database is named in one line, and rebuilt from what lies beside."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dockmagic import cli
from dockmagic.session import Session
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError, StateDamaged, Unsupported
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.model.network import NetworkSpec
from dockmagic_runtime.store.data_root import DataRoot

DOCKERFILE = "FROM busybox\nRUN echo built > /built\nLABEL kept=yes\n"
Line = Callable[[str], tuple[int, str, str]]


def inventory(engine: Engine) -> dict[str, Any]:
    return {
        "images": [(i.id, i.tags, i.size, i.chain_ids) for i in engine.images.list(all=True)],
        "containers": [
            (c.name, c.status, c.ip_address, c.pid, c.labels)
            for c in engine.containers.list(all=True)
        ],
        "volumes": [(v.name, v.labels) for v in engine.volumes.list()],
        "networks": [(n.id, n.name, n.subnet, n.labels) for n in engine.networks.list()],
        "config": engine.images.inspect("built")["Config"],
    }


@pytest.fixture
def area(data_root: DataRoot) -> Iterator[Path]:
    """Some of everything; two containers run."""
    with Engine(data_root.root, catalogue="always") as engine:
        list(engine.images.pull("busybox"))
        list(
            engine.images.build(BuildRequest(dockerfile=DOCKERFILE, context=None, tags=("built",)))
        )
        engine.volumes.create("data", labels={"kept": "yes"})
        engine.networks.create(NetworkSpec(name="own", labels={"kept": "yes"}))
        engine.containers.run("busybox", ["touch", "/x"], name="dead").wait()
        engine.containers.run("built", ["sleep", "600"], name="alive", detach=True)
        engine.containers.run("built", ["sleep", "600"], name="joined", network="own", detach=True)
        engine.containers.commit("dead")
    yield data_root.root
    with Engine(data_root.root, repair=True) as engine:
        engine.system.uninstall()


def damage(area: Path, data: bytes | None) -> None:
    """Gives the database other contents, or none at all."""
    (area / "state.db").unlink()
    if data is not None:
        (area / "state.db").write_bytes(data)


def repaired(area: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    with Engine(area, catalogue="never", repair=True) as engine:
        lost = engine.system.repair().lost
        return inventory(engine), lost


@pytest.fixture
def before(area: Path) -> dict[str, Any]:
    with Engine(area, catalogue="never") as engine:
        return inventory(engine)


@pytest.mark.parametrize("kind", ["garbage", "half", "empty", "missing", "text"])
def test_security_5_a_damaged_database_is_refused_and_rebuilt(
    area: Path, before: dict[str, Any], kind: str
) -> None:
    data = (area / "state.db").read_bytes()
    contents = {
        "garbage": os.urandom(len(data)),
        "half": data[: len(data) // 2],
        "empty": b"",
        "missing": None,
        "text": b"this is no database",
    }
    damage(area, contents[kind])
    with pytest.raises(StateDamaged, match=f"{area}/state.db is damaged") as caught:
        Engine(area)
    assert "system repair" in caught.value.hint
    assert repaired(area) == (before, ())
    kept = [path.read_bytes() for path in area.glob("state.db.damaged-*")]
    assert kept == [data for data in [contents[kind]] if data is not None]


def test_security_5_any_damage_can_be_repaired(area: Path, before: dict[str, Any]) -> None:
    data = (area / "state.db").read_bytes()
    for seed in range(40):
        chance, changed = random.Random(seed), bytearray(data)
        for _ in range(chance.choice((1, 1, 4))):
            start, size = chance.randrange(len(data)), chance.choice((1, 8, 64, 4096))
            end = min(start + size, len(data))
            changed[start:end] = chance.randbytes(end - start)
        damage(area, bytes(changed))
        with suppress(DockmagicError), Engine(area, catalogue="never") as engine:
            inventory(engine)
        assert repaired(area) == (before, ()), seed


def test_security_5_containers_run_on_and_keep_their_addresses(area: Path) -> None:
    damage(area, b"garbage")
    with Engine(area, catalogue="never", repair=True) as engine:
        assert engine.containers.exec("alive", ["cat", "/built"]).wait() == 0
        taken = {engine.containers.get(name).ip_address for name in ("alive", "joined")}
        new = engine.containers.run("busybox", ["sleep", "60"], name="new", detach=True)
        assert new.ip_address not in taken
        engine.containers.stop("joined", timeout=0)
        engine.networks.remove("own")


def test_security_5_what_cannot_be_saved_is_named_and_set_aside(area: Path) -> None:
    with Engine(area, catalogue="never") as engine:
        dead, image = engine.containers.get("dead"), engine.images.get("built")
    damage(area, b"garbage")
    for file in (area / "rows" / "containers").iterdir():
        if dead.id in file.read_text():
            file.write_text("{")
    top = image.chain_ids[-1].removeprefix("sha256:")
    (area / "layers" / top).rename(area / "layers" / "elsewhere")
    with Engine(area, catalogue="never", repair=True) as engine:
        lost = engine.system.repair().lost
        assert {container.name for container in engine.containers.list(all=True)} == {
            "alive",
            "joined",
        }
    assert f"container {dead.id[:12]}: nothing describes it; its files are in" in str(lost)
    assert f"image {image.short_id}: its layer {top[:12]} is gone" in lost
    assert (area / "lost" / dead.id / "upper" / "x").exists()


def test_security_5_without_files_of_rows_layers_are_computed(area: Path) -> None:
    """As an area of an earlier version has it, whose database was damaged since."""
    with Engine(area, catalogue="never") as engine:
        image = engine.images.get("built")
        files = {path: path.read_bytes() for path in (area / "rows" / "layers").iterdir()}
    for path in files:
        path.unlink()
    damage(area, b"garbage")
    with Engine(area, catalogue="never", repair=True) as engine:
        assert engine.images.get("built") == image
        assert engine.containers.run("built", ["cat", "/built"], auto_remove=True).wait() == 0


def test_security_5_an_engine_that_is_open_repairs_what_it_uses(area: Path) -> None:
    with Engine(area, catalogue="never") as engine:
        expected = inventory(engine)
        damage(area, b"garbage")
        assert engine.system.repair().changed
        assert inventory(engine) == expected


def test_security_5_a_lost_row_is_restored_before_anything_starts(
    area: Path, before: dict[str, Any]
) -> None:
    connection = sqlite3.connect(area / "state.db")
    connection.execute("DELETE FROM containers WHERE name = 'dead'")
    connection.commit()
    connection.close()
    with Engine(area, catalogue="never") as engine:
        engine.containers.run("busybox", ["true"], auto_remove=True).wait()
        assert inventory(engine) == before


def test_security_5_the_command_repairs(area: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def line(text: str) -> tuple[int, str, str]:
        session = Session(root=str(area), catalogue="never")
        try:
            code = cli.main(text.split(), session)
        finally:
            session.close()
        return (code, *capfd.readouterr())

    damage(area, b"garbage")
    code, out, error = line("ps")
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert "'dockmagic system repair' rebuilds it" in error
    code, out, _ = line("system repair")
    assert code == 0
    assert out.startswith(f"{area}/state.db was rebuilt: 3 images, 3 containers, 2 networks, 1 vol")
    assert f"The damaged file is kept: {area}/state.db.damaged-" in out
    assert line("system repair")[1].startswith(f"{area}/state.db is not damaged: 3 images")
    assert len(line("ps -aq")[1].split()) == 3


def test_security_13_a_newer_database_is_refused_untouched(area: Path) -> None:
    connection = sqlite3.connect(area / "state.db")
    connection.execute("PRAGMA user_version = 1000")
    connection.commit()
    connection.close()
    data = (area / "state.db").read_bytes()
    for repair in (False, True):
        with pytest.raises(Unsupported, match="was written by a newer dockmagic: it has version"):
            Engine(area, repair=repair)
    assert (area / "state.db").read_bytes() == data
    connection = sqlite3.connect(area / "state.db")
    connection.execute("PRAGMA user_version = 3")
    connection.commit()
    connection.close()


def test_security_5_a_missing_table_is_damage(area: Path, before: dict[str, Any]) -> None:
    for table in ("tags", "image_layers", "leases", "build_cache"):
        connection = sqlite3.connect(area / "state.db")
        connection.execute(f"DROP TABLE {table}")
        connection.commit()
        connection.close()
        with pytest.raises(StateDamaged, match=f"it has no table {table}"):
            Engine(area)
        assert repaired(area) == (before, ()), table
