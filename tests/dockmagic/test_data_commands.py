"""cp, commit, export, import, top, port and the prunes, as far as no engine is needed."""

from __future__ import annotations

import http.server
import io
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.container.cp import Copied
from dockmagic.commands.container.top import Processes
from dockmagic.commands.output import archives, pruned
from dockmagic.commands.output.files import replaced
from dockmagic.commands.output.pruned import PrunedThings, Section
from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.model.commit import CommitSpec, ImportSpec
from dockmagic_runtime.model.container import ProcessTable

from .values import make_image


class Recorder:
    """Records what the commands asked the engine for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.containers = self.images = self

    def commit(self, name: str, spec: CommitSpec) -> Any:
        self.calls.append((name, spec))
        return make_image("x", "a")

    def import_image(self, archive: Any, spec: ImportSpec) -> Any:
        self.calls.append((archive.read(), spec))
        return make_image("x", "a")


def execute(engine: Any, *words: str) -> Any:
    return commands.execute(engine, commands.parse(words))


@pytest.mark.parametrize(
    ("quiet", "terminal", "said"),
    [(None, True, True), (None, False, False), (False, False, True), (True, True, False)],
)
def test_a_copy_is_told_to_a_terminal_or_when_asked(
    monkeypatch: pytest.MonkeyPatch, quiet: bool | None, terminal: bool, said: bool
) -> None:
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: terminal))
    chunks = list(Copied(2048, "c:/x", quiet).chunks())
    assert [(chunk.stream, chunk.data) for chunk in chunks] == (
        [("stderr", b"Successfully copied 2.05kB to c:/x\n")] if said else []
    )


def test_the_size_of_a_copy_is_not_in_its_stable_form() -> None:
    assert repr(Copied(2048, "c:/x")) == "Successfully copied to c:/x"


def test_an_archive_is_not_shown_where_only_text_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    with pytest.raises(InvalidInput, match="an archive cannot be shown here"):
        archives.check_stdout()
    terminal = SimpleNamespace(isatty=lambda: True, buffer=io.BytesIO())
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(InvalidInput, match="cowardly refusing to save to a terminal"):
        archives.check_stdout()
    archives.check_stdout(terminal_is_fine=True)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(InvalidInput, match="no standard input"):
        archives.read_stdin()


def test_commit_passes_on_what_its_flags_say() -> None:
    engine = Recorder()
    committed = execute(
        engine, "commit", "-a", "Me", "-m", "well", "-c", "CMD a", "-c", "ENV b=c", "-p=false",
        "web", "mine:v1",
    )  # fmt: skip
    spec = CommitSpec(
        reference="mine:v1", author="Me", message="well", changes=("CMD a", "ENV b=c"), pause=False
    )
    assert engine.calls == [("web", spec)]
    assert str(committed) == f"sha256:{'a' * 64}"
    assert repr(committed) == "mine:v1"


def test_import_reads_a_file_standard_input_or_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Recorder()
    (tmp_path / "x.tar").write_bytes(b"file")
    execute(engine, "import", str(tmp_path / "x.tar"), "a:b")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"stdin")))
    execute(engine, "import", "-m", "hello", "-")
    assert [(data, spec.message, spec.reference) for data, spec in engine.calls] == [
        (b"file", "Imported from -", "a:b"),
        (b"stdin", "hello", ""),
    ]
    with pytest.raises(InvalidInput, match="open /nope: no such file or directory"):
        execute(engine, "import", "/nope")


class _Archive(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/x.tar":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from afar")

    def log_message(self, *_: Any) -> None:
        pass


def test_import_from_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    engine = Recorder()
    with http.server.HTTPServer(("127.0.0.1", 0), _Archive) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            execute(engine, "import", f"{url}/x.tar")
            with pytest.raises(RemoteFailed, match=r"cannot download .*/nope"):
                execute(engine, "import", f"{url}/nope")
        finally:
            server.shutdown()
            thread.join()
    assert engine.calls[0] == (b"from afar", ImportSpec(message=f"Imported from {url}/x.tar"))


def test_an_export_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "x.tar"
    output.write_bytes(b"old")

    def failing() -> Any:
        yield b"half"
        raise OSError("the disk is full")

    def write(chunks: Any) -> None:
        with replaced(str(output), "failed to export container") as file:
            file.writelines(chunks)

    with pytest.raises(OSError, match="the disk is full"):
        write(failing())
    assert output.read_bytes() == b"old"
    write([b"a", b"b"])
    assert output.read_bytes() == b"ab"
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize("output", ["/nope/x", "/tmp", "a" * 300, "a\0b", "/etc/passwd/x"])
def test_an_export_that_cannot_be_written_is_told_first(output: str) -> None:
    with pytest.raises((NotFound, InvalidInput), match="failed to export container"):
        list(execute(Recorder(), "export", "-o", output, "web"))


def test_top_is_laid_out_as_dockers() -> None:
    table = ProcessTable(
        titles=("UID", "PID", "CMD"), processes=(("root", "12", "sleep 1"), ("a" * 19, "3", "x"))
    )
    assert str(Processes(table)).splitlines() == [
        "UID                   PID                 CMD",
        "root                  12                  sleep 1",
        "aaaaaaaaaaaaaaaaaaa   3                   x",
    ]
    assert "12" not in repr(Processes(table))
    assert next(iter(Processes(table))) == {"uid": "root", "pid": "12", "cmd": "sleep 1"}


def test_what_was_pruned_is_told_as_docker_does() -> None:
    things = PrunedThings(
        (
            Section("Containers", ("abc",), 1500),
            Section("Volumes", (), 0),
            Section("Images", ("d",), 500),
        )
    )
    assert str(things) == (
        "Deleted Containers:\nabc\n\nDeleted Images:\nd\n\nTotal reclaimed space: 2kB"
    )
    assert repr(things) == "removed 1 containers, 1 images"
    assert str(PrunedThings(())) == "Total reclaimed space: 0B"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["container", "prune"], "all stopped containers."),
        (["image", "prune"], "all dangling images."),
        (["image", "prune", "-a"], "all images without at least one container associated to them."),
        (["system", "prune"], "  - unused build cache\n"),
        (["system", "prune", "-a"], "  - all build cache\n"),
        (
            ["system", "prune", "--filter", "until=24h", "--filter", "label=x"],
            "  Items to be pruned will be filtered with:\n  - label=x\n  - until=24h\n",
        ),
    ],
)
def test_prunes_ask_in_dockers_words(words: list[str], part: str) -> None:
    (question,) = execute(Recorder(), *words)
    assert question.text.startswith("WARNING! This will remove")
    assert question.text.endswith(pruned.QUESTION)
    assert part in question.text


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        ("container cp a b:c", "cp"),
        ("container commit a", "commit"),
        ("container export a", "export"),
        ("container top a", "top"),
        ("container port a", "port"),
        ("container prune", "container prune"),
        ("image import a", "import"),
        ("image prune", "image prune"),
        ("system df", "system df"),
        ("system prune", "system prune"),
    ],
)
def test_verbs_are_also_found_in_their_groups(words: str, verb: str) -> None:
    assert commands.parse(words.split()).verb == verb
