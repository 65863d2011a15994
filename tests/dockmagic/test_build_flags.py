"""Flags of `docker build`: what the builder is asked for."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic import commands
from dockmagic.commands.builder.attributes import attributes
from dockmagic.commands.builder.build_flags import request_fields
from dockmagic.commands.options.flags import WrongUsage
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, Unsupported
from dockmagic_runtime.model.build import BuildCacheSpec, BuildOutput
from dockmagic_runtime.model.outline import BuildArgument, BuildInput, BuildOutline, BuildTarget
from dockmagic_runtime.model.progress import PushDone
from dockmagic_runtime.model.usage import CacheBounds, CacheUsage


def fields(line: str) -> dict[str, Any]:
    return request_fields(commands.parse(["build", *line.split(), "."]))


def test_several_tags_labels_and_arguments() -> None:
    request = fields("-t a -t b:2 --label x=1 --build-arg A=1 --build-arg B=2 --target t")
    assert (request["tags"], request["labels"], request["target"]) == (
        ("a", "b:2"),
        {"x": "1"},
        "t",
    )
    assert request["build_args"] == {"A": "1", "B": "2"}


def test_limits_hosts_and_entitlements() -> None:
    request = fields(
        "-m 64m --memory-swap -1 -c 512 --cpuset-cpus 0 --cpu-period 1000 --cpu-quota 500 "
        "--shm-size 1m --ulimit nofile=10:20 --add-host db:192.0.2.1 --network none "
        "--allow security.insecure --cgroup-parent /x"
    )
    resources = request["resources"]
    assert (resources.memory, resources.memory_swap, resources.cpu_shares) == (64 << 20, -1, 512)
    assert (resources.cpuset_cpus, resources.cpu_period, resources.cpu_quota) == ("0", 1000, 500)
    assert (request["shm_size"], request["ulimits"]) == (1 << 20, {"nofile": (10, 20)})
    assert (request["add_hosts"], request["network"]) == (("db:192.0.2.1",), "none")
    assert (request["allow"], request["cgroup_parent"]) == (("security.insecure",), "/x")


def test_the_default_network_is_the_bridge() -> None:
    assert fields("")["network"] == "bridge"
    assert fields("--network default")["network"] == "bridge"


def test_secrets_come_from_files_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORD", "from the environment")
    (tmp_path / "file").write_text("from a file")
    request = fields(
        "--secret id=a,src=file --secret id=b,env=WORD --secret id=WORD --secret id=file "
        "--secret type=env,id=WORD"
    )
    assert request["secrets"] == {
        "a": b"from a file",
        "b": b"from the environment",
        "WORD": b"from the environment",
        "file": b"from a file",
    }
    with pytest.raises(NotFound, match="stat nope: no such file"):
        fields("--secret id=nope")
    with pytest.raises(NotFound, match="the variable NOPE is not set"):
        fields("--secret id=a,env=NOPE")


def test_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        assert fields(f"--ssh default --ssh other={path}")["ssh"] == {
            "default": path,
            "other": path,
        }
    (tmp_path / "key").touch()
    with pytest.raises(Unsupported, match="is no socket of an agent"):
        fields(f"--ssh default={tmp_path}/key")
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(InvalidInput, match="SSH_AUTH_SOCK is not set"):
        fields("--ssh default")


def test_contexts_with_names(tmp_path: Path) -> None:
    request = fields(
        f"--build-context d={tmp_path} --build-context i=docker-image://alpine "
        "--build-context g=git@example.org:x/y.git"
    )
    assert request["build_contexts"] == {
        "d": str(tmp_path),
        "i": "docker-image://alpine",
        "g": "git@example.org:x/y.git",
    }
    with pytest.raises(InvalidInput, match="is not a directory"):
        fields("--build-context d=/nowhere")


def test_outputs() -> None:
    request = fields("-o out --output type=tar,dest=x.tar --output type=docker -o -")
    assert request["outputs"] == (
        BuildOutput("local", "out"),
        BuildOutput("tar", "x.tar"),
        BuildOutput("tar", "-"),
    )


def test_outputs_may_name_the_image() -> None:
    request = fields(
        '-t x --output type=image,"name=a,b:2",push=false --output type=registry,name=c'
    )
    assert request["tags"] == ("x", "a", "b:2", "c")


# What `docker build --help` and `docker buildx build --help` list.
DOCKERS = """
add-host allow annotation attest build-arg build-context builder cache-from cache-to call
cgroup-parent check compress cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems debug
disable-content-trust file force-rm iidfile isolation label load memory memory-swap metadata-file
network no-cache no-cache-filter output platform progress provenance pull push quiet rm sbom secret
security-opt shm-size squash ssh tag target ulimit
""".split()


def test_every_flag_of_dockers_is_known() -> None:
    flags = {flag.name: flag for flag in commands.parser("build").flags}
    assert set(DOCKERS) <= set(flags)
    assert not [flag.name for flag in flags.values() if flag.planned]


def test_flags_that_ask_for_nothing_are_no_mistake() -> None:
    fields(
        "--provenance=false --sbom false --attest type=provenance,disabled=true --builder default "
        "--isolation default --squash=false --debug=false --compress --force-rm --load --rm"
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--squash", "for a single one: FROM scratch"),
        ("--security-opt seccomp=unconfined", "RUN --security=insecure"),
        ("--isolation hyperv", "Linux namespaces only"),
        ("--annotation a=b", "use --label"),
        ("--attest type=sbom", "attestations are not made here"),
        ("--provenance mode=max", "attestations are not made here"),
        ("--sbom=true", "attestations are not made here"),
        ("--builder mine", "one builder, called default"),
    ],
)
def test_a_flag_that_cannot_be_says_so(line: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        fields(line)


def test_caches_come_from_and_go_to_places() -> None:
    request = fields(
        "--cache-from app --cache-from type=local,src=c,tag=x "
        "--cache-from type=registry,ref=r:1/a:b "
        "--cache-to type=inline --cache-to type=local,dest=d,mode=max "
        "--cache-to type=registry,ref=r:1/a,ignore-error=true,image-manifest=true"
    )
    assert request["cache_from"] == (
        BuildCacheSpec(kind="registry", where="docker.io/library/app:latest"),
        BuildCacheSpec(kind="local", where="c", tag="x"),
        BuildCacheSpec(kind="registry", where="r:1/a:b"),
    )
    assert request["cache_to"] == (
        BuildCacheSpec(kind="inline"),
        BuildCacheSpec(kind="local", where="d", mode="max"),
        BuildCacheSpec(kind="registry", where="r:1/a:latest", ignore_error=True),
    )


def test_stages_may_be_built_anew() -> None:
    assert fields("--no-cache-filter a,b --no-cache-filter 2")["no_cache_stages"] == ("a", "b", "2")


def test_what_was_built_is_written_to_a_file(
    dockmagic: Any, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    assert dockmagic(f"build -t site --metadata-file {tmp_path}/m {tmp_path}")[0] == 0
    image = engine.known[-1].id
    assert json.loads((tmp_path / "m").read_text()) == {
        "containerimage.config.digest": image,
        "containerimage.digest": image,
        "image.name": "docker.io/library/site:latest",
    }

    def push(reference: str) -> Iterator[PushDone]:
        yield PushDone(reference=reference, digest="sha256:m", size=1)

    monkeypatch.setattr(engine.images, "push", push, raising=False)
    assert dockmagic(f"build -t site --push --metadata-file {tmp_path}/m {tmp_path}")[0] == 0
    assert json.loads((tmp_path / "m").read_text())["containerimage.digest"] == "sha256:m"


OUTLINE = BuildOutline(
    targets=(
        BuildTarget(name="made", base="gcc", description="compiles"),
        BuildTarget(name="1", base="scratch", is_default=True),
    ),
    target=BuildTarget(name="1", base="scratch", is_default=True),
    arguments=(BuildArgument(name="V", value="1", description="the version"),),
    secrets=(BuildInput(id="token", required=True),),
    ssh=(),
)


def test_a_dockerfile_is_told_of(
    dockmagic: Any, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    monkeypatch.setattr(engine.builds, "outline", lambda request: OUTLINE, raising=False)
    assert dockmagic(f"build --call targets {tmp_path}")[1].splitlines() == [
        "TARGET        DESCRIPTION",
        "made          compiles",
        "1 (default)   ",
    ]
    assert dockmagic(f"build --call outline {tmp_path}")[1].split() == (
        "TARGET: 1 BUILD ARG VALUE DESCRIPTION V 1 the version SECRET REQUIRED token true".split()
    )
    document = json.loads(dockmagic(f"build --call outline,format=json {tmp_path}")[1])
    assert (document["name"], document["args"][0]["name"], document["ssh"]) == ("1", "V", [])
    document = json.loads(dockmagic(f"build --call=targets,format=json {tmp_path}")[1])
    assert (document["default"], len(document["targets"])) == ("1", 2)
    assert not [call for call in engine.calls if call[0] == "build"]
    assert fields("--call check")["check"]


def test_an_epoch_of_the_environment_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert fields("")["build_args"] == {"SOURCE_DATE_EPOCH": "5"}
    assert fields("--build-arg SOURCE_DATE_EPOCH=6")["build_args"] == {"SOURCE_DATE_EPOCH": "6"}


@pytest.mark.parametrize(
    "line",
    [
        "--progress fancy",
        "--network mine",
        "--allow everything",
        "--build-context x",
        "--secret src=x",
        "--secret id=x,colour=red",
        "--output type=tar",
        "--output type=oci",
        "--output type=paper,dest=x",
        "--platform plan9/mips",
        "--output type=local,dest=x,name=y",
        "--output type=oci,dest=x,tar=false",
        "--output type=image,compression=zstd",
        "--cache-from type=inline",
        "--cache-from type=local",
        "--cache-from A:B:C",
        "--cache-to type=s3,bucket=b",
        "--cache-to type=local,dest=x,mode=most",
        "--cache-to type=local,dest=x,compression=zstd",
        "--cache-to type=registry",
        "--call tea",
        "--call outline,format=yaml",
        "--rm=false",
    ],
)
def test_what_cannot_be_is_refused(line: str) -> None:
    with pytest.raises(DockmagicError):
        fields(line)


def test_a_context_and_a_dockerfile_cannot_both_be_standard_input(dockmagic: Any) -> None:
    code, _, err = dockmagic("build -f - -")
    assert code == 125
    assert "can't use stdin for both build context and dockerfile" in err


def test_a_context_comes_from_standard_input(
    dockmagic: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"FROM busybox")))
    assert dockmagic("build -")[0] == 0
    (request,) = [call[1] for call in engine.calls if call[0] == "build"]
    assert (request.dockerfile, request.context) == (None, None)
    assert request.context_tar.read(100) == b"FROM busybox"


def test_an_address_is_a_context(dockmagic: Any, engine: Any) -> None:
    assert dockmagic("build -f sub/Dockerfile https://example.org/x.git#main")[0] == 0
    (request,) = [call[1] for call in engine.calls if call[0] == "build"]
    assert request.dockerfile is None
    assert (request.context, request.file_name) == (
        "https://example.org/x.git#main",
        "sub/Dockerfile",
    )


def test_the_ignore_file_beside_the_dockerfile_is_taken_along(
    dockmagic: Any, engine: Any, tmp_path: Path
) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "app.Dockerfile").write_text("FROM busybox")
    (tmp_path / "app.Dockerfile.dockerignore").write_text("secret")
    line = f"build -f {tmp_path}/app.Dockerfile {tmp_path}/context"
    assert dockmagic(line)[0] == 0
    (tmp_path / "app.Dockerfile.dockerignore").unlink()
    assert dockmagic(line)[0] == 0
    ignored = [call[1].ignore for call in engine.calls if call[0] == "build"]
    assert ignored == ["secret", None]


def test_a_dockerfile_that_is_called_something_like_it_is_named(
    dockmagic: Any, tmp_path: Path
) -> None:
    (tmp_path / "Dockerflie").write_text("FROM busybox")
    code, _, err = dockmagic(f"build {tmp_path}")
    assert code == 1
    assert "open Dockerfile: no such file or directory" in err
    assert "did you mean Dockerflie?" in err


def test_builder_12_a_lower_case_dockerfile_serves_where_there_is_no_other(
    dockmagic: Any, engine: Any, tmp_path: Path
) -> None:
    (tmp_path / "dockerfile").write_text("FROM lower")
    assert dockmagic(f"build {tmp_path}")[0] == 0
    (tmp_path / "Dockerfile").write_text("FROM upper")
    assert dockmagic(f"build {tmp_path}")[0] == 0
    built = [call[1].dockerfile for call in engine.calls if call[0] == "build"]
    assert built == ["FROM lower", "FROM upper"]
    assert dockmagic(f"build -f DOCKERFILE {tmp_path}")[0] == 1


def test_wrong_usage_is_a_mistake_of_the_line() -> None:
    with pytest.raises(WrongUsage):
        fields("--ulimit nofile")


def test_an_image_is_saved_and_pushed_when_it_is_built(
    dockmagic: Any, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(verb: str) -> Any:
        return lambda *arguments: engine.calls.append((verb, *arguments)) or ()

    for verb in ("save", "push"):
        monkeypatch.setattr(engine.images, verb, noted(verb), raising=False)
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    code, _, err = dockmagic(f"build -t site --push -o type=oci,dest={tmp_path}/x.tar {tmp_path}")
    assert code == 0
    assert "exporting to oci image format" in err
    assert "pushing site:latest" in err
    verbs = [call[0] for call in engine.calls]
    assert verbs.index("build") < verbs.index("save") < verbs.index("push")
    assert (tmp_path / "x.tar").exists()


def test_the_builders_own_verbs(
    dockmagic: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.builds, "prune", lambda **_: 5, raising=False)
    usage = SimpleNamespace(
        build_cache=(CacheUsage(id="k" * 64, size=1000, in_use=False, created="", used=0.0),)
    )
    monkeypatch.setattr(engine.system, "df", lambda: usage, raising=False)
    for words in (["buildx", "build", "."], ["builder", "build", "."]):
        line = commands.resolve(words)
        assert (line.verb, line.words) == ("build", ["."])
    assert commands.resolve(["buildx", "prune"]).verb == "builder_prune"
    assert dockmagic("builder prune -f")[1].startswith("Total reclaimed space:")
    lines = dockmagic("buildx du")[1].splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["ID", "RECLAIMABLE"], ["k" * 25, "true"]]
    assert lines[2:] == ["Reclaimable:\t1kB", "Total:\t\t1kB"]
    with pytest.raises(Unsupported):
        commands.resolve(["buildx", "bake"])


def test_what_may_stay_of_the_cache_can_be_bounded(
    dockmagic: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def prune(**more: Any) -> int:
        asked.append(more)
        return 0

    monkeypatch.setattr(engine.builds, "prune", prune, raising=False)
    for words in ("-a", "--keep-storage 1k", "--max-used-space 2k --reserved-space 1k",
                  "--min-free-space 3k"):  # fmt: skip
        assert dockmagic(f"builder prune -f {words}")[0] == 0
    assert [call["bounds"] for call in asked] == [
        None,
        CacheBounds(reserved=1024),
        CacheBounds(reserved=1024, max_used=2048),
        CacheBounds(min_free=3072),
    ]
    assert dockmagic("buildx prune -f --builder mine")[0] != 0


def test_cache_usage_can_be_filtered_and_told_in_full(
    dockmagic: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tuple(
        CacheUsage(id=letter * 64, size=1000, in_use=letter == "a", created="C", used=0.0)
        for letter in "ab"
    )
    usage = SimpleNamespace(build_cache=cache)
    monkeypatch.setattr(engine.system, "df", lambda: usage, raising=False)
    for words in ("inuse=true", "id=aaa"):
        lines = dockmagic(f"buildx du --filter {words}")[1].splitlines()
        assert [line[:3] for line in lines[1:2]] == ["aaa"]
        assert lines[-1] == "Total:\t\t1kB"
    text = dockmagic("buildx du --verbose")[1]
    assert text.startswith(f"ID:             {'a' * 64}\nCreated at:     C\n")
    assert text.endswith("Type:           regular\n\nReclaimable:\t1kB\nTotal:\t\t2kB\n")
    assert "invalid filter 'colour'" in dockmagic("buildx du --filter colour=red")[2]


def test_a_failed_build_says_how_to_enter_it(dockmagic: Any, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    engine.build_fails = True
    assert "docker run -it --from-failed" in dockmagic(f"build {tmp_path}")[2]


def test_what_failed_is_run_in_the_place_of_an_image(
    dockmagic: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def failed(left: str = "") -> SimpleNamespace:
        asked.append(left)
        return SimpleNamespace(id="httpd")

    monkeypatch.setattr(engine.builds, "failed", failed, raising=False)
    assert dockmagic("run --rm --from-failed ls /")[0] == 0
    assert dockmagic("run --rm --from-failed=0123456789ab ls /")[0] == 0
    for spec in [call[1] for call in engine.calls if call[0] == "run"]:
        assert (spec.image, spec.command) == ("httpd", ("ls", "/"))
    assert asked == ["", "0123456789ab"]
    assert dockmagic("run --from-failed=maybe ls /")[0] == 125
    assert commands.parse(["run", "--from-failed"]).words == ()
    with pytest.raises(WrongUsage, match="requires at least 1 argument"):
        commands.parse(["run", "--rm"])


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_attributes_or_refused(text: str) -> None:
    try:
        values = attributes(text, None)
    except ValueError:
        return
    assert all(key == key.strip().lower() for key in values)
