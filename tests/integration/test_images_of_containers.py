"""commit, export, import and diff: what of a container ends up where."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.commit import CommitSpec, ImportSpec
from dockmagic_runtime.model.container import (
    Container,
    ContainerSpec,
    ExecSpec,
    HealthCheck,
    Mount,
    PortMapping,
    Status,
)

from .conftest import Build, Run, collect

pytestmark = [pytest.mark.root, pytest.mark.network]

BASE = """FROM busybox
RUN mkdir -p /d/s /o && echo 1 > /d/a && echo 2 > /d/b && echo 3 > /d/s/c && echo 4 > /o/x
ENV FROM_IMAGE=yes
LABEL base=1
ONBUILD RUN true
"""
CHANGES = """
echo new > /new; rm /d/a; chmod 700 /d/b; mv /d/s /moved; rm -r /o; mkdir /o; echo 5 > /o/y
touch /d/b; mkdir -p /n/m; ln -s /new /n/l; echo data > /v/file; echo mine > /etc/mine
"""
MOUNTS = (
    Mount(kind="volume", source="data", target="/v"),
    Mount(kind="tmpfs", target="/t"),
)


@pytest.fixture
def image(build: Build) -> str:
    return build(BASE)


def changed(engine: Engine, image: str, **spec: Any) -> Container:
    """A container that runs and has made the changes above."""
    container = engine.containers.run(
        ContainerSpec(
            image=image, name="cc", command=("sleep", "1000"), mounts=MOUNTS,
            **spec,
        ), detach=True
    )  # fmt: skip
    ended = collect(engine.containers.exec("cc", ExecSpec(command=("sh", "-ec", CHANGES))))
    assert (ended.code, ended.stderr) == (0, "")
    return container


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: member for member in tar}


EXPECTED = """
C /d|D /d/a|C /d/b|D /d/s|C /etc|A /etc/mine|A /moved|A /moved/c|A /n|A /n/l|A /n/m|A /new
C /o|D /o/x|A /o/y|A /t|A /v
"""


def test_diff_tells_what_docker_tells(engine: Engine, image: str) -> None:
    """Also mount points, which are made in the container's own layer, but nothing in them."""
    changed(engine, image)
    expected = "|".join(EXPECTED.strip().splitlines()).split("|")
    assert [str(change) for change in engine.containers.diff("cc")] == expected
    engine.containers.kill("cc")
    assert [str(change) for change in engine.containers.diff("cc")] == expected


def test_a_commit_is_the_container_as_it_was(engine: Engine, image: str, run: Run) -> None:
    changed(engine, image)
    committed = engine.containers.commit(
        "cc", CommitSpec(reference="mine:v1", author="Me", message="well")
    )
    assert committed.tags == ("mine:v1",)
    assert engine.containers.get("cc").status is Status.RUNNING
    script = (
        "cat /new /moved/c /o/y /n/l /etc/mine; ls -d /d/a /d/s /o/x; stat -c %a /d/b; ls -A /v /t"
    )
    ended = run("sh", "-c", script, image="mine:v1")
    assert ended.stdout.split() == ["new", "3", "5", "new", "mine", "700", "/t:", "/v:"]
    assert ended.stderr.count("No such file") == 3
    # the layer holds what diff has listed, and none of the engine's own files
    shown = [f"{file.kind} {file.path}" for file in engine.images.layers("mine:v1")[-1].files]
    assert shown == [str(change) for change in engine.containers.diff("cc")]


def test_the_container_lives_on_apart_from_its_image(engine: Engine, image: str, run: Run) -> None:
    changed(engine, image)
    engine.containers.commit("cc", CommitSpec(reference="mine"))
    collect(
        engine.containers.exec("cc", ExecSpec(command=("sh", "-c", "echo changed > /new; rm /o/y")))
    )
    assert run("cat", "/new", "/o/y", image="mine").stdout == "new\n5\n"
    # they are its own all the same
    assert "A /new" in [str(change) for change in engine.containers.diff("cc")]


def test_a_commit_has_the_containers_config_and_the_changes(engine: Engine, image: str) -> None:
    spec = ContainerSpec(
        image=image,
        name="cc",
        command=("sleep", "9"),
        env=("GIVEN=1", "FROM_IMAGE=no"),
        labels={"mine": "2"},
        working_dir="/d",
        user="1:1",
        ports=(PortMapping(container_port=80),),
        expose=("90/udp",),
        mounts=(Mount(kind="volume", target="/anonymous"), *MOUNTS),
        stop_signal="SIGINT",
        health=HealthCheck(test=("CMD-SHELL", "true"), interval=1.5),
        tty=True,
    )
    engine.containers.create(spec)
    committed = engine.containers.commit(
        "cc", CommitSpec(changes=("ENV ADDED=$GIVEN", "LABEL base=3", "EXPOSE 70"))
    )
    config = engine.images.inspect(committed.id)["Config"]
    assert config["Cmd"] == ["sleep", "9"]
    assert sorted(config["Env"]) == sorted(
        ["ADDED=1", "FROM_IMAGE=no", "GIVEN=1", _path(config["Env"])]
    )  # not HOSTNAME, not TERM
    assert config["Labels"] == {"base": "3", "mine": "2", **_stand_in(config["Labels"])}
    assert config["ExposedPorts"] == {"70/tcp": {}, "80/tcp": {}, "90/udp": {}}
    assert config["Volumes"] == {"/anonymous": {}}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("1:1", "/d", "SIGINT")
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 1_500_000_000}
    assert config["OnBuild"] == ["RUN true"]


def _path(env: list[str]) -> str:
    return next(variable for variable in env if variable.startswith("PATH="))


def _stand_in(labels: dict[str, str]) -> dict[str, str]:
    return {key: text for key, text in labels.items() if key.startswith("org.dockmagic")}


def test_history_has_one_more_line(engine: Engine, image: str) -> None:
    changed(engine, image)
    before = len(engine.images.history(image))
    committed = engine.containers.commit("cc", CommitSpec(author="Me", message="well"))
    first, *rest = engine.images.history(committed.id)
    assert (first.created_by, first.comment, first.empty_layer) == ("sleep 1000", "well", False)
    assert first.size > 0
    assert len(rest) == before
    assert engine.images.inspect(committed.id)["Author"] == "Me"
    assert engine.images.inspect(committed.id)["Comment"] == "well"


def test_a_container_that_changed_nothing_makes_no_layer(engine: Engine, image: str) -> None:
    engine.containers.create(ContainerSpec(image=image, name="cc", command=("true",)))
    committed = engine.containers.commit("cc")
    assert committed.chain_ids == engine.images.get(image).chain_ids
    assert engine.images.history(committed.id)[0].empty_layer


@pytest.mark.parametrize("pause", [True, False])
def test_pausing_is_undone_and_left_to_who_had_paused(
    engine: Engine, image: str, pause: bool
) -> None:
    changed(engine, image)
    engine.containers.commit("cc", CommitSpec(pause=pause))
    assert engine.containers.get("cc").status is Status.RUNNING
    engine.containers.pause("cc")
    engine.containers.commit("cc", CommitSpec(pause=pause))
    assert engine.containers.get("cc").status is Status.PAUSED


def test_mistakes_are_told_before_anything_is_copied(engine: Engine, image: str) -> None:
    changed(engine, image)
    images = engine.images.list(all=True)
    for spec in (
        CommitSpec(changes=("RUN make",)),
        CommitSpec(reference="UPPER"),
        CommitSpec(reference="a@sha256:" + "0" * 64),
    ):
        with pytest.raises(InvalidInput):
            engine.containers.commit("cc", spec)
    assert engine.images.list(all=True) == images
    with pytest.raises(NotFound, match="No such container: nope"):
        engine.containers.commit("nope")


def test_a_commit_of_a_removed_images_container_still_runs(engine: Engine, build: Build) -> None:
    image = build("FROM busybox\nRUN echo kept > /kept\n")
    engine.containers.create(ContainerSpec(image=image, name="cc", command=("cat", "/kept")))
    engine.images.remove(image, force=True)
    committed = engine.containers.commit("cc", CommitSpec(reference="again"))
    assert (
        collect(engine.containers.run(ContainerSpec(image=committed.id, auto_remove=True))).stdout
        == "kept\n"
    )


# ------------------------------------------------------------------ export and import


def test_an_export_is_the_tree_without_what_is_mounted(engine: Engine, image: str) -> None:
    changed(engine, image)
    with engine.containers.export("cc") as stream:
        running = b"".join(stream)
    engine.containers.kill("cc")
    with engine.containers.export("cc") as stream:
        stopped = b"".join(stream)
    for archive in (running, stopped):
        result = members(archive)
        assert {"new", "moved/c", "o/y", "n/l", "bin/busybox", "d/b", ".dockerenv"} <= set(result)
        assert not {"d/a", "d/s", "o/x", "v/file"} & set(result)
        for place in ("v", "t", "proc", "sys", "dev"):
            assert result[place].isdir()
            assert not [name for name in result if name.startswith(f"{place}/")]
        assert (result["etc/hosts"].size, result["d/b"].mode & 0o7777) == (0, 0o700)
    assert set(members(running)) == set(members(stopped))


def test_what_was_exported_can_be_imported_and_run(engine: Engine, image: str, run: Run) -> None:
    changed(engine, image)
    with engine.containers.export("cc") as stream:
        archive = b"".join(stream)
    spec = ImportSpec(reference="flat:1", message="from a test", changes=('CMD ["cat", "/new"]',))
    committed = engine.images.import_image(io.BytesIO(archive), spec)
    assert committed.tags == ("flat:1",)
    assert len(committed.chain_ids) == 1
    assert run(image="flat:1").stdout == "new\n"
    (line,) = engine.images.history("flat:1")
    assert (line.created_by, line.comment) == ("", "from a test")
    document = engine.images.inspect("flat:1")
    assert document["Config"] == {"Cmd": ["cat", "/new"]}
    assert json.dumps(document)


def test_an_import_may_be_compressed_and_is_refused_if_it_is_no_archive(engine: Engine) -> None:
    import gzip

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"hi"))
    plain = engine.images.import_image(io.BytesIO(out.getvalue()))
    packed = engine.images.import_image(io.BytesIO(gzip.compress(out.getvalue())))
    assert plain.diff_ids == packed.diff_ids
    with pytest.raises(InvalidInput):
        engine.images.import_image(io.BytesIO(b"junk" * 1000))
    with pytest.raises(InvalidInput, match="run is not a valid change command"):
        engine.images.import_image(io.BytesIO(out.getvalue()), ImportSpec(changes=("RUN x",)))
