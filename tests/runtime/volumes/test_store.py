"""The volumes of an area, without containers that run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound, Unsupported
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.volumes.store import VolumeStore
from dockmagic_runtime.volumes.unused import remove_unused


@pytest.fixture
def database(data_root: DataRoot) -> Iterator[Database]:
    database = Database(data_root.database)
    yield database
    database.close()


@pytest.fixture
def volumes(data_root: DataRoot, database: Database) -> VolumeStore:
    return VolumeStore(data_root, database)


def add_container(data_root: DataRoot, database: Database, container_id: str, *names: str) -> None:
    mounts = [{"kind": "volume", "target": f"/{name}", "source": name} for name in names]
    mounts.append({"kind": "bind", "target": "/b", "source": "bound"})
    data_root.container(container_id).mkdir()
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO containers (id, name, image_id, created, spec) VALUES (?, ?, '', 0, ?)",
            (container_id, container_id, json.dumps({"mounts": mounts})),
        )


def test_a_volume_is_a_directory_with_a_description(
    data_root: DataRoot, volumes: VolumeStore
) -> None:
    created = volumes.create("data", labels={"a": "b"})
    assert created.mountpoint == str(data_root.volumes / "data" / "_data")
    assert volumes.get("data") == created
    assert Path(created.mountpoint).stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(data_root.volumes / "data")) == ["_data", "volume.json"]
    assert os.listdir(data_root.scratch) == []


def test_creating_one_that_exists_leaves_it_as_it_is(volumes: VolumeStore) -> None:
    first = volumes.create("data", labels={"a": "b"})
    (Path(first.mountpoint) / "file").touch()
    assert volumes.create("data", labels={"c": "d"}) == first
    assert os.listdir(first.mountpoint) == ["file"]


def test_without_a_name_it_is_anonymous(volumes: VolumeStore) -> None:
    created = volumes.create(labels={"a": "b"})
    assert len(created.name) == 64
    assert created.is_anonymous
    assert created.labels == {"a": "b", "com.docker.volume.anonymous": ""}


def test_volumes_of_an_area_without_descriptions_are_found(
    data_root: DataRoot, volumes: VolumeStore
) -> None:
    for name in ("named", "0" * 64):
        (data_root.volumes / name / "_data").mkdir(parents=True)
    assert [(volume.name, volume.is_anonymous) for volume in volumes.find()] == [
        ("0" * 64, True),
        ("named", False),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", "create a: volume name is too short, names should be at least two alphanumeric"),
        ("../x", r'"\.\./x" includes invalid characters for a local volume name'),
        ("-ab", "includes invalid characters"),
        ("a/b", "includes invalid characters"),
    ],
)
def test_names_that_are_none(volumes: VolumeStore, name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        volumes.create(name)
    with pytest.raises(NotFound, match="no such volume"):
        volumes.get(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, 'create data: invalid option: "colour"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"o": "size=1m"}, 'missing required option: "device"'),
        ({"size": "1g"}, "quota size requested but no quota support"),
    ],
)
def test_driver_options_that_are_none(
    volumes: VolumeStore, options: dict[str, str], message: str
) -> None:
    with pytest.raises((InvalidInput, Unsupported), match=message):
        volumes.create("data", driver_options=options)
    assert volumes.find() == ()


def test_another_driver_is_not_found(volumes: VolumeStore) -> None:
    with pytest.raises(NotFound) as raised:
        volumes.create("data", driver="nfs")
    assert raised.value.message == (
        'create data: error looking up volume plugin nfs: plugin "nfs" not found'
    )


def test_filters(data_root: DataRoot, database: Database, volumes: VolumeStore) -> None:
    volumes.create("web-data", labels={"tier": "web"})
    volumes.create("db-data", labels={"tier": "db", "keep": ""})
    volumes.create("other")
    add_container(data_root, database, "c" * 64, "web-data", "other")

    def names(**filters: list[str]) -> list[str]:
        return [volume.name for volume in volumes.find(filters)]

    assert names() == ["db-data", "other", "web-data"]
    assert names(name=["data$"]) == ["db-data", "web-data"]
    assert names(name=["^web", "oth"]) == ["other", "web-data"]
    assert names(label=["tier"]) == ["db-data", "web-data"]
    assert names(label=["tier=db", "keep"]) == ["db-data"]
    assert names(driver=["local"]) == ["db-data", "other", "web-data"]
    assert names(driver=["nfs"]) == []
    assert names(dangling=["true"]) == ["db-data"]
    assert names(dangling=["0"]) == ["other", "web-data"]
    for filters, message in (
        ({"colour": ["red"]}, "invalid filter 'colour'"),
        ({"dangling": ["maybe"]}, "invalid filter 'dangling=[maybe]'"),
        ({"dangling": ["1", "0"]}, "invalid filter 'dangling=[0 1]'"),
    ):
        with pytest.raises(InvalidInput) as raised:
            volumes.find(filters)
        assert raised.value.message == message


def test_inspect_is_dockers(volumes: VolumeStore) -> None:
    created = volumes.create("data")
    shown = volumes.inspect("data")
    assert shown.pop("CreatedAt")[:4].isdigit()
    assert shown == {
        "Driver": "local",
        "Labels": None,
        "Mountpoint": created.mountpoint,
        "Name": "data",
        "Options": None,
        "Scope": "local",
    }
    with pytest.raises(NotFound) as raised:
        volumes.inspect("date")
    assert raised.value.message == "get date: no such volume"
    assert raised.value.hint == "did you mean data?"


def test_rm(data_root: DataRoot, database: Database, volumes: VolumeStore) -> None:
    volumes.create("used")
    for container_id in ("a" * 64, "b" * 64):
        add_container(data_root, database, container_id, "used")
    with pytest.raises(Conflict) as raised:
        volumes.remove("used")
    assert raised.value.message == (f"remove used: volume is in use - [{'a' * 64}, {'b' * 64}]")
    data_root.container("a" * 64).rmdir()  # removed by its supervisor: the row does not count
    data_root.container("b" * 64).rmdir()
    volumes.remove("used")
    with pytest.raises(NotFound):
        volumes.remove("used")
    volumes.remove("used", force=True)
    assert os.listdir(data_root.volumes) == os.listdir(data_root.scratch) == []


def test_prune(data_root: DataRoot, database: Database, volumes: VolumeStore) -> None:
    anonymous, used = volumes.create(labels={"a": "1"}), volumes.create()
    volumes.create("named", labels={"a": "1"})
    volumes.create("kept", labels={"keep": ""})
    add_container(data_root, database, "c" * 64, used.name)
    (Path(anonymous.mountpoint) / "file").write_bytes(b"x" * 1000)
    os.link(f"{anonymous.mountpoint}/file", f"{anonymous.mountpoint}/again")
    pruned = volumes.prune({"label": ["a"]})
    assert (pruned.names, pruned.reclaimed) == ((anonymous.name,), 1000)
    assert volumes.prune().names == ()
    assert volumes.prune({"all": ["true"], "label!": ["keep"]}).names == ("named",)
    assert {volume.name for volume in volumes.find()} == {used.name, "kept"}
    with pytest.raises(InvalidInput, match="invalid filter 'until'"):
        volumes.prune({"until": ["1h"]})


def test_size_counts_each_file_once(volumes: VolumeStore) -> None:
    data = Path(volumes.create("data").mountpoint)
    (data / "below").mkdir()
    (data / "below" / "file").write_bytes(b"x" * 5000)
    os.link(data / "below" / "file", data / "again")
    assert volumes.size("data") == 5000


def test_unused_volumes_go_and_used_ones_stay(
    data_root: DataRoot, database: Database, volumes: VolumeStore
) -> None:
    names = [volumes.create().name for _ in range(3)]
    add_container(data_root, database, "a" * 64, *names[:2])
    add_container(data_root, database, "b" * 64, names[1])
    remove_unused(str(data_root.root), names, container_id="a" * 64)
    assert [volume.name for volume in volumes.find()] == [names[1]]


def test_a_volume_that_somebody_holds_is_not_removed(
    data_root: DataRoot, volumes: VolumeStore
) -> None:
    with ExitStack() as held:
        first, second = (volumes.obtain(held, "data") for _ in range(2))
        anonymous = volumes.obtain(held)
        assert first == second
        with pytest.raises(Conflict, match="remove data: volume is in use"):
            volumes.remove("data")
        assert volumes.prune({"all": ["true"]}).names == ()
        remove_unused(str(data_root.root), [anonymous.name], container_id="")
        assert len(volumes.find()) == 2
    assert len(volumes.prune({"all": ["true"]}).names) == 2


def test_threads_that_make_the_same_volumes_all_get_the_same(
    data_root: DataRoot, volumes: VolumeStore
) -> None:
    seen: list[tuple[str, float]] = []

    def make() -> None:
        for number in range(20):
            volume = volumes.create(f"data{number}")
            seen.append((volume.name, volume.created))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 160
    assert len(set(seen)) == 20
    assert os.listdir(data_root.scratch) == []
