"""The commands that move images: what they take, print, and refuse."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.options.platform import host_platform
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import LoadDone, PullDone, PullStatus, PushDone
from dockmagic_runtime.model.search import RemoteManifest, SearchResult

from .values import make_image


class Facet:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Images(Facet):
    def save(self, references: tuple[str, ...], out: Any) -> None:
        self.engine.asked.append(tuple(references))
        if "broken" in references:
            out.write(b"half of it")
            raise InvalidInput("broken")
        out.write(b"archive")

    def load(self, source: Any) -> Iterator[Any]:
        self.engine.asked.append(source.read())
        yield PullStatus(status="Loading layer", id="abc", current=1, total=1)
        yield LoadDone(image=make_image("a:1", "a"), reference="a:1")
        yield LoadDone(image=make_image("", "b"), reference="")

    def push(self, reference: str, *, all_tags: bool) -> Iterator[Any]:
        self.engine.asked.append((reference, all_tags))
        yield PullStatus(status="The push refers to repository [docker.io/library/a]")
        yield PushDone(reference="a:1", digest=f"sha256:{'d' * 64}", size=500)

    def search(self, term: str, *, limit: int) -> tuple[SearchResult, ...]:
        self.engine.asked.append((term, limit))
        return (
            SearchResult(name="httpd", description="A server " * 9, stars=12, is_official=True),
            SearchResult(name="busybox", description="Tools", is_stand_in=True),
        )

    def manifest(self, reference: str, *, insecure: bool) -> bytes:
        self.engine.asked.append((reference, insecure))
        return json.dumps({"schemaVersion": 2, "layers": [{"size": 1}]}).encode()

    def manifests(self, reference: str, *, insecure: bool) -> Any:
        manifest = RemoteManifest(
            reference=f"docker.io/library/{reference}:latest",
            media_type="application/vnd.docker.distribution.manifest.v2+json",
            digest=f"sha256:{'d' * 64}",
            data=b'{"schemaVersion": 2}',
            architecture="arm",
            os="linux",
            variant="v7",
        )
        return (manifest, manifest) if reference == "index" else manifest

    def pull(self, reference: str, *, all_tags: bool, platform: str) -> Iterator[Any]:
        self.engine.asked.append((reference, all_tags, platform))
        for tag in ("1", "2") if all_tags else ("1",):
            yield PullStatus(status="Pulling from library/a", id=tag)
            yield PullDone(image=make_image(f"a:{tag}", "a"), reference=f"a:{tag}")

    def get(self, reference: str) -> Image:
        return make_image(reference, "a")

    def list(self, *, all: bool) -> tuple[Image, ...]:
        return (replace(make_image("a:1", "a"), tags=("a:1", "b:2")), make_image("c:3", "c"))

    def remove(self, name: str, *, force: bool) -> tuple[str, ...]:
        self.engine.asked.append(("rmi", name))
        return (f"Untagged: {name}",)

    def history(self, reference: str) -> tuple[Any, ...]:
        return ()


class Manifests(Facet):
    def list(self, name: str) -> tuple[RemoteManifest, ...]:
        raise NotFound(f"No such manifest: {name}")


class System(Facet):
    def login(self, server: str, username: str, password: str) -> Path:
        self.engine.asked.append((server, username, password))
        return Path("/home/ada/.docker/config.json")

    def logout(self, server: str) -> bool:
        return server in self.engine.logins


class Containers(Facet):
    def list(self, *, all: bool) -> tuple[Any, ...]:
        return (SimpleNamespace(image_id=f"sha256:{'c' * 64}"),)


class Engine:
    """Notes what it was asked for, and answers from what it was given."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.logins: set[str] = set()
        self.images = Images(self)
        self.manifests = Manifests(self)
        self.system = System(self)
        self.containers = Containers(self)


@pytest.fixture
def engine() -> Engine:
    return Engine()


def run(engine: Engine, *words: str) -> tuple[list[Any], Result]:
    """The events of a line and its result."""
    outcome = commands.execute(engine, commands.parse(words))  # type: ignore[arg-type]
    if isinstance(outcome, Result):
        return [], outcome
    *events, result = outcome
    assert isinstance(result, Result)
    return events, result


def test_save_writes_a_file_that_others_cannot_read(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    run(engine, "save", "-o", str(path), "a:1", "b")
    assert engine.asked == [("a:1", "b")]
    assert path.read_bytes() == b"archive"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_save_that_fails_leaves_the_old_file(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"old")
    with pytest.raises(InvalidInput, match="broken"):
        run(engine, "save", "-o", str(path), "broken")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_save_into_no_directory_and_onto_one(engine: Engine, tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "a.tar", tmp_path):
        with pytest.raises(InvalidInput, match="failed to save image"):
            run(engine, "save", "-o", str(path), "a")
    assert engine.asked == []


def test_command_line_save_writes_regular_files_only(engine: Engine, tmp_path: Path) -> None:
    """In the words of Docker's client 28.2."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path, kind in {
        "/dev/null": "character device file",
        str(tmp_path): "directory",
        str(tmp_path / "pipe"): "named pipe (FIFO)",
        str(tmp_path / "link"): "symbolic link directly",
    }.items():
        with pytest.raises(InvalidInput) as raised:
            run(engine, "save", "-o", path, "a")
        assert raised.value.message == f"failed to save image: cannot write to a {kind}"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("a", ["a:1"]),
        ("[ab]", ["a:1", "b:2"]),
        ("[^a]", ["b:2", "c:3"]),
        ("?:[0-9]", ["a:1", "b:2", "c:3"]),
        (r"\a", ["a:1"]),
        ("*:3", ["c:3"]),
        ("", ["a:1", "b:2", "c:3"]),
        ("docker.io/library/a", []),
        ("A", []),
    ],
)
def test_command_line_images_by_a_pattern_of_gos(
    engine: Engine, pattern: str, shown: list[str]
) -> None:
    _, result = run(engine, "images", "--format", "{{.Repository}}:{{.Tag}}", pattern)
    assert str(result).splitlines() == shown


def test_command_line_images_by_a_pattern_that_is_none(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match=r"^syntax error in pattern$"):
        run(engine, "images", "--filter", "reference=[")


@pytest.mark.parametrize("line", ["tag BAD x", "tag a BAD"])
def test_command_line_tag_names_the_reference_that_is_none(engine: Engine, line: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        run(engine, *line.split())
    assert raised.value.message == (
        'Error parsing reference: "BAD" is not a valid repository/tag: invalid reference format: '
        "repository name (library/BAD) must be lowercase"
    )


def test_a_notebook_or_terminal_is_no_place_for_an_archive(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(InvalidInput, match="cowardly refusing to save to a terminal"):
        run(engine, "save", "a")


def test_save_to_stdout(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    run(engine, "save", "a")
    assert stdout.buffer.getvalue() == b"archive"


def test_load_tells_names_and_ids(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"archive")
    events, result = run(engine, "load", "-i", str(path))
    assert engine.asked == [b"archive"]
    assert len(events) == 1
    assert str(result) == f"Loaded image: a:1\nLoaded image ID: sha256:{'b' * 64}"
    assert repr(result) == "Loaded image: a:1\nLoaded image: (id)"


def test_a_quiet_load_tells_only_names(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    events, _ = run(engine, "load", "-q", "-i", str(tmp_path / "a"))
    assert events == []


def test_load_of_no_file(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="open /no/such: no such file or directory"):
        run(engine, "load", "-i", "/no/such")


def test_load_from_stdin(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    run(engine, "load")
    assert engine.asked == [b"piped"]


def test_push_tells_the_default_tag(engine: Engine) -> None:
    events, result = run(engine, "push", "a")
    assert [event.status for event in events] == [
        "Using default tag: latest",
        "The push refers to repository [docker.io/library/a]",
    ]
    assert str(result) == ""
    assert result.rows()[0]["size"] == 500


def test_a_quiet_push_tells_the_name(engine: Engine) -> None:
    events, result = run(engine, "push", "-q", "a:1")
    assert events == []
    assert str(result) == "docker.io/library/a:1"


def test_push_of_all_tags_wants_no_tag(engine: Engine) -> None:
    run(engine, "push", "-a", "a")
    assert engine.asked == [("a", True)]
    with pytest.raises(InvalidInput, match="tag can't be used with --all-tags/-a"):
        run(engine, "push", "-a", "a:1")


def test_a_login_by_stdin(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("sesame\n"))
    _, result = run(engine, "login", "-u", "ada", "--password-stdin", "localhost:5000")
    assert engine.asked == [("localhost:5000", "ada", "sesame")]
    assert str(result).endswith("Login Succeeded")
    assert "sesame" not in str(result) + repr(result)


def test_a_login_asks_without_echo(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "sesame")
    run(engine, "login", "-u", "ada")
    assert engine.asked == [("", "ada", "sesame")]


def test_a_password_in_the_line_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="stays in histories"):
        run(engine, "login", "-u", "ada", "-p", "sesame")
    assert engine.asked == []


def test_a_login_where_nobody_can_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    with pytest.raises(InvalidInput, match="non TTY device"):
        run(engine, "login", "-u", "ada")
    with pytest.raises(InvalidInput, match="requires --username to be set"):
        run(engine, "login", "--password-stdin")


def test_logout(engine: Engine) -> None:
    engine.logins.add("localhost:5000")
    _, result = run(engine, "logout", "localhost:5000")
    assert str(result) == "Removing login credentials for localhost:5000"
    _, result = run(engine, "logout")
    assert str(result) == "Removing login credentials for https://index.docker.io/v1/"


def test_search_marks_stand_ins(engine: Engine) -> None:
    _, result = run(engine, "search", "--limit", "7", "httpd")
    assert engine.asked == [("httpd", 7)]
    lines = str(result).splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert lines[1].endswith("[OK]")
    assert "…" in lines[1]
    assert "[stand-in] Tools" in lines[2]
    _, result = run(engine, "search", "--no-trunc", "httpd")
    assert "…" not in str(result)


def test_filters_and_formats_of_search(engine: Engine) -> None:
    _, result = run(engine, "search", "-f", "is-official=true", "--format", "{{.Name}}", "x")
    assert str(result) == "httpd"
    _, result = run(engine, "search", "-f", "stars=13", "--format", "{{.Name}}", "x")
    assert str(result) == ""
    _, result = run(engine, "search", "--format", "{{.Name}} {{.StandIn}}", "x")
    assert str(result).splitlines()[1] == "busybox [OK]"


def test_a_limit_of_0_is_dockers_own(engine: Engine) -> None:
    run(engine, "search", "--limit", "0", "x")
    assert engine.asked == [("x", 25)]


@pytest.mark.parametrize(
    "words", [["--limit", "-1"], ["--limit", "101"], ["-f", "stars=x"], ["-f", "color=red"]]
)
def test_what_search_does_not_take(engine: Engine, words: list[str]) -> None:
    with pytest.raises(InvalidInput):
        run(engine, "search", *words, "x")


def test_manifest_inspect_is_json(engine: Engine) -> None:
    _, result = run(engine, "manifest", "inspect", "a")
    assert json.loads(str(result)) == {"schemaVersion": 2, "layers": [{"size": 1}]}
    assert result.rows() == [{"size": 1}]


def test_manifest_inspect_in_full(engine: Engine) -> None:
    """The form is that of Docker's client, which was compared byte for byte."""
    _, result = run(engine, "manifest", "inspect", "-v", "--insecure", "a")
    assert json.loads(str(result)) == {
        "Ref": "docker.io/library/a:latest",
        "Descriptor": {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "digest": f"sha256:{'d' * 64}",
            "size": 20,
            "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
        },
        "Raw": "eyJzY2hlbWFWZXJzaW9uIjogMn0=",
        "SchemaV2Manifest": {"schemaVersion": 2},
    }
    _, result = run(engine, "manifest", "inspect", "-v", "index")
    assert [entry["Ref"] for entry in json.loads(str(result))] == [
        "docker.io/library/index:latest"
    ] * 2
    assert [row["size"] for row in result.rows()] == [20, 20]


def test_all_tags_are_pulled(engine: Engine) -> None:
    events, result = run(engine, "pull", "-a", "a")
    assert [event.id for event in events] == ["1", "2"]
    assert str(result) == "docker.io/library/a"
    assert engine.asked == [("a", True, "")]
    events, result = run(engine, "pull", "-q", "--all-tags", "a")
    assert (events, str(result)) == ([], "docker.io/library/a")
    for name in ("a:1", f"a@sha256:{'d' * 64}"):
        with pytest.raises(InvalidInput, match="tag can't be used with --all-tags/-a"):
            run(engine, "pull", "-a", name)


def test_another_platform_is_pulled_if_it_is_asked_for(engine: Engine) -> None:
    other = "linux/s390x"
    for text in (other, "s390x", "linux/S390X"):
        run(engine, "pull", "--platform", text, "a")
    run(engine, "pull", "--platform", host_platform(), "a")
    assert [asked[2] for asked in engine.asked] == [other] * 3 + [""]
    with pytest.raises(InvalidInput, match="unknown operating system or architecture"):
        run(engine, "pull", "--platform", "commodore", "a")


@pytest.mark.parametrize("words", ["history", "push", "save -o FILE"])
def test_a_platform_that_the_image_is_not_for(engine: Engine, words: str, tmp_path: Path) -> None:
    line = words.replace("FILE", str(tmp_path / "x")).split()
    run(engine, *line, "--platform", "linux/amd64", "a")
    with pytest.raises(NotFound, match=r"its platform \(linux/amd64\) does not match the"):
        run(engine, *line, "--platform", "linux/s390x", "a")


def test_rmi_has_no_parents_to_keep(engine: Engine) -> None:
    _, result = run(engine, "rmi", "--no-prune", "--platform", "linux/amd64", "a")
    assert str(result) == "Untagged: a"
    _, result = run(engine, "rmi", "--platform", "linux/s390x", "a")
    assert "does not match the specified platform" in result.errors[0].message
    assert engine.asked == [("rmi", "a")]


def test_command_line_images_as_a_tree(engine: Engine) -> None:
    """What Docker's client 28.2 prints into a pipe, but for the colours of its heading."""
    _, result = run(engine, "images", "--tree")
    assert str(result).splitlines() == [
        "WARNING: This is an experimental feature. The output may change and shouldn't be "
        "depended on.",
        f"{'Info ->  U In Use ':>80}",
        "",
        "IMAGE                ID             DISK USAGE   CONTENT SIZE   EXTRA",
        "a:1",
        "b:2                  aaaaaaaaaaaa       12.3MB             0B        ",
        "└─ linux/amd64       aaaaaaaaaaaa       12.3MB             0B        ",
        "",
        "c:3                  cccccccccccc       12.3MB             0B     U  ",
        "└─ linux/amd64       cccccccccccc       12.3MB             0B     U  ",
    ]
    assert repr(result).splitlines() == ["a:1", "b:2", "└─ linux/amd64", "c:3", "└─ linux/amd64"]
    assert [row["in_use"] for row in result] == [False, True]
    for flag in ("--quiet", "--no-trunc", "--digests", "--format=json"):
        name = flag.split("=")[0]
        with pytest.raises(InvalidInput, match=f"{name} is not yet supported with --tree"):
            run(engine, "images", "--tree", flag)


def test_rows_as_json_are_docker_s_byte_for_byte(engine: Engine) -> None:
    _, result = run(engine, "images", "--format", "json")
    first = str(result).splitlines()[0]
    assert list(json.loads(first)) == [
        "Containers",
        "CreatedAt",
        "CreatedSince",
        "Digest",
        "ID",
        "Repository",
        "SharedSize",
        "Size",
        "Tag",
        "UniqueSize",
        "VirtualSize",
    ]
    assert r'"Digest":"\u003cnone\u003e"' in first


def test_history_for_machines_says_when_and_not_how_long_ago(engine: Engine) -> None:
    _, result = run(engine, "history", "-H=false", "a")
    assert str(result).split()[:3] == ["IMAGE", "CREATED", "AT"]
    _, result = run(engine, "history", "a")
    assert str(result).split()[:3] == ["IMAGE", "CREATED", "CREATED"]
