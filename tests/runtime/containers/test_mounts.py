"""Which mounts can be, what `--volumes-from` says, and how mounts are inspected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic_runtime.containers.inspect import mounts
from dockmagic_runtime.containers.lifecycle.mounts import check, parse_volumes_from
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, Mount
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database


def faulty(message: str, **fields: Any) -> Any:
    mount = Mount(**{"kind": "bind", "source": "/", "target": "/t", **fields})
    return pytest.param(mount, message, id=message)


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        faulty("mount type unknown", kind="npipe"),
        faulty("field Target must not be empty", target=""),
        faulty("invalid mount path: 't' mount path must be absolute", target="t"),
        faulty("invalid specification: destination can't be '/'", target="/"),
        faulty("field Source must not be empty", source=""),
        faulty("invalid mount path: 'x' mount path must be absolute", source="x"),
        faulty("invalid propagation mode: upwards", propagation="upwards"),
        faulty("field Source must not be specified", kind="tmpfs"),
        faulty(
            "must not set Subpath when using anonymous volumes",
            kind="volume",
            source="",
            subpath="x",
        ),
        faulty(
            "subpath must be a relative path within the volume",
            kind="volume",
            source="vol",
            subpath="a/../../x",
        ),
        faulty(
            "subpath must be a relative path within the volume ",
            kind="image",
            source="httpd",
            subpath="/etc",
        ),
    ],
)
def test_mounts_that_cannot_be(mount: Mount, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        check(mount)
    assert raised.value.message == (
        f'invalid mount config for type "{mount.kind}": {message.strip()}'
    )


def test_a_bind_needs_its_source(tmp_path: Path) -> None:
    missing = Mount(kind="bind", source=str(tmp_path / "nope"), target="/t")
    with pytest.raises(NotFound, match=f"bind source path does not exist: {missing.source}"):
        check(missing)
    check(replace(missing, create_source=True))
    check(replace(missing, source=str(tmp_path)))


def test_volumes_from() -> None:
    assert parse_volumes_from("web") == ("web", frozenset())
    assert parse_volumes_from("web:ro,z") == ("web", frozenset(["ro", "z"]))
    for text in ("web:nope", "web:ro,rw", "web:rslave", "web:nocopy"):
        with pytest.raises(InvalidInput, match="invalid mode: "):
            parse_volumes_from(text)
    with pytest.raises(InvalidInput, match="cannot be an empty string"):
        parse_volumes_from(":ro")


MOUNTS = (
    Mount(kind="bind", source="/a", target="/b", create_source=True, options=("z", "ro"),
          read_only=True),
    Mount(kind="bind", source="/a", target="/c", propagation="rslave", recursive=False),
    Mount(kind="volume", source="named", target="/n"),
    Mount(kind="volume", source="named", target="/s", subpath="x", copy_up=False,
          labels=(("a", "b"),), driver_options=(("type", "tmpfs"), ("device", "tmpfs"))),
    Mount(kind="image", source="httpd", target="/i", subpath="usr", read_only=True),
    Mount(kind="tmpfs", target="/t", options=("size=1m",)),
)  # fmt: skip


def test_host_config_says_what_was_asked_for_by_the_flag_that_can_say_it() -> None:
    anonymous = Mount(kind="volume", target="/x")
    spec = ContainerSpec(image="busybox", mounts=(*MOUNTS, anonymous), volumes_from=("web:ro",))
    assert mounts.host_config(spec) == {
        "Binds": ["/a:/b:z,ro", "named:/n"],
        "Mounts": [
            {
                "Type": "bind",
                "Source": "/a",
                "Target": "/c",
                "BindOptions": {"Propagation": "rslave", "NonRecursive": True},
            },
            {
                "Type": "volume",
                "Source": "named",
                "Target": "/s",
                "VolumeOptions": {
                    "NoCopy": True,
                    "Labels": {"a": "b"},
                    "DriverConfig": {
                        "Name": "local",
                        "Options": {"type": "tmpfs", "device": "tmpfs"},
                    },
                    "Subpath": "x",
                },
            },
            {
                "Type": "image",
                "Source": "httpd",
                "Target": "/i",
                "ImageOptions": {"Subpath": "usr"},
            },
        ],
        "Tmpfs": {"/t": "size=1m"},
        "VolumesFrom": ["web:ro"],
        "VolumeDriver": "",
    }


def test_mounts_are_shown_as_they_are(data_root: DataRoot) -> None:
    anonymous = Mount(kind="volume", source="0" * 64, target="/x")
    record = Record(
        id="a" * 64, name="web", image_id="", created=0, spec=ContainerSpec(image="busybox"),
        entrypoint=(), command=("true",), env=(), working_dir="/", user="", hostname="",
        stop_signal="", labels={}, exposed=(), mounts=(*MOUNTS[:3], anonymous), layers=(),
        anonymous_volumes=("0" * 64,),
    )  # fmt: skip
    database = Database(data_root.database)
    try:
        bound, slave, named, unnamed = mounts.mounts(ContainerStore(data_root, database), record)
    finally:
        database.close()
    assert bound == {
        "Type": "bind", "Source": "/a", "Destination": "/b", "Mode": "z,ro", "RW": False,
        "Propagation": "rprivate",
    }  # fmt: skip
    assert (slave["Mode"], slave["RW"], slave["Propagation"]) == ("", True, "rslave")
    assert named == {
        "Type": "volume", "Name": "named", "Source": f"{data_root.volumes}/named/_data",
        "Destination": "/n", "Driver": "local", "Mode": "z", "RW": True, "Propagation": "",
    }  # fmt: skip
    assert unnamed["Mode"] == ""
    assert record.volumes == ("/x",)
