"""`files`: directories as a table, and the messages of its view."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from dockmagic.widgets import bundle
from dockmagic.widgets.files_access import (
    LARGEST,
    PIECE,
    SHOWN,
    Parts,
    head,
    is_text,
    packed,
    pieces,
)
from dockmagic.widgets.files_view import FilesView
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.container import PathStat

from .fake_engine import FakeEngine
from .test_interactive import page as page  # the fixture


def entry(
    name: str, mode: int = stat.S_IFREG | 0o644, size: int = 1500, link: str = ""
) -> PathStat:
    return PathStat(name=name, size=size, mode=mode, mtime=1_700_000_000, link_target=link)


ENTRIES = (
    entry("a.txt"),
    entry("<b>"),
    entry("link", stat.S_IFLNK | 0o777, 3, "/etc/\x1b[31mx"),
    entry("sub", stat.S_IFDIR | 0o755),
)


@pytest.fixture
def listing(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What directories were listed; each has the same entries."""
    asked: list[tuple[str, str]] = []

    def listed(name: str, path: str, *, limit: int = 0) -> tuple[PathStat, ...]:
        asked.append((name, path))
        return ENTRIES

    monkeypatch.setattr(engine.containers, "list_directory", listed)
    monkeypatch.setattr(engine.images, "list_directory", listed)
    return asked


def test_a_directory_is_a_table_with_directories_first(
    run: Any, engine: FakeEngine, listing: list[tuple[str, str]]
) -> None:
    run("%docker run -d --name web httpd")
    result = run("%files web /srv").value
    assert listing == [(engine.containers.get("web").id, "/srv")]
    rows = str(result).splitlines()
    assert rows[0].split() == ["MODE", "SIZE", "MODIFIED", "NAME"]
    assert rows[1].split() == ["drwxr-xr-x", "2023-11-14", "22:13:20", "sub"]
    assert rows[2].split()[:2] == ["-rw-r--r--", "1.5kB"]
    assert rows[4].endswith(r"link -> /etc/\x1b[31mx")
    assert "1.5kB" not in result.stable()
    assert str(run("%files -q web").value).splitlines()[0] == "sub"


def test_an_image_has_files_too_and_what_is_neither_is_said(
    run: Any, engine: FakeEngine, listing: list[tuple[str, str]]
) -> None:
    run("%files httpd")
    assert listing == [(engine.images.get("httpd").id, "/")]
    assert run("%files nosuch").error.message == "No such container or image: nosuch"


@pytest.mark.usefixtures("listing")
def test_security_names_of_files_are_text(run: Any) -> None:
    document = bundle(run("%files httpd").value._listing)
    assert "&lt;b&gt;" in document["text/html"]
    assert "<b>" not in document["text/html"]
    assert "\x1b" not in document["text/plain"]


@pytest.mark.usefixtures("listing")
def test_in_a_page_it_is_a_view_over_the_table(run: Any, page: list[dict[str, Any]]) -> None:
    run("%files httpd")
    assert "data-dm-view" in page[0]["text/html"]
    assert "sub" in page[0]["text/plain"]


class Source:
    """Files of a test."""

    def __init__(self) -> None:
        self.files = {"/a.txt": b"text", "/big": b"x" * (3 * PIECE)}
        self.written: list[tuple[str, bytes]] = []
        self.closed = 0

    def listed(self, path: str) -> tuple[PathStat, ...]:
        if path != "/":
            raise NotFound(f"Could not find the file {path}")
        return ENTRIES

    def read(self, path: str) -> tuple[PathStat, Iterator[bytes]]:
        data = self.files[path]
        return entry(path[1:], size=len(data)), self._parts(data)

    def _parts(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), 65536):
                yield data[start : start + 65536]
        finally:
            self.closed += 1

    def write(self, directory: str, tar: bytes) -> None:
        self.written.append((directory, tar))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def view(source: Source, monkeypatch: pytest.MonkeyPatch) -> Any:
    view = FilesView("web", "/", source, writable=True)
    sent: list[tuple[dict[str, Any], bytes]] = []
    monkeypatch.setattr(
        view, "send", lambda content, buffers=None: sent.append((content, b"".join(buffers or [])))
    )

    def ask(kind: str, data: bytes = b"", **more: Any) -> tuple[dict[str, Any], bytes]:
        view.receive({"kind": kind, "page": "p", **more}, [data] if data else [])
        return sent[-1]

    ask.view = view  # type: ignore[attr-defined]
    return ask


def test_a_page_goes_into_directories_and_is_told_of_failures(view: Any) -> None:
    answer, _ = view("list", path="/sub/..")
    assert (answer["kind"], answer["path"], answer["page"]) == ("listing", "/", "p")
    assert answer["entries"][0] == ["a.txt", "-rw-r--r--", 1500, 1_700_000_000, ""]
    answer, _ = view("list", path="/none")
    assert (answer["kind"], answer["text"]) == ("error", "Could not find the file /none")
    assert view.view.path == "/"


def test_a_file_is_shown_up_to_a_length(view: Any, source: Source) -> None:
    assert view("read", path="/a.txt")[0]["text"] == "text"
    answer, _ = view("read", path="/big")
    assert (len(answer["text"]), answer["cut"]) == (SHOWN, True)
    source.files["/a.txt"] = b"\0\1\2"
    assert view("read", path="/a.txt")[0]["text"] is None
    assert source.closed == 3


def test_a_download_comes_in_pieces_as_the_page_asks(view: Any, source: Source) -> None:
    assert view("download", path="/big", id="d")[0] == {
        "kind": "begin", "page": "p", "id": "d", "name": "big",
    }  # fmt: skip
    data, last = b"", False
    while not last:
        answer, piece = view("next", id="d")
        assert len(piece) <= PIECE + 65536
        data, last = data + piece, answer["last"]
    assert data == source.files["/big"]
    assert source.closed == 1


def test_an_upload_is_one_file_in_the_directory(view: Any, source: Source) -> None:
    more = {"id": "u", "name": "new.txt", "path": "/srv"}
    assert view("upload", b"one ", **more)[0]["kind"] == "more"
    assert view("upload", b"two", last=True, **more)[0]["kind"] == "uploaded"
    ((directory, tar),) = source.written
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        (member,) = archive.getmembers()
        content = archive.extractfile(member)
        assert content is not None
        assert (directory, member.name, content.read()) == ("/srv", "new.txt", b"one two")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "..", "."])
def test_security_an_upload_stays_in_its_directory(view: Any, source: Source, name: str) -> None:
    answer, _ = view("upload", b"x", id="u", name=name, path="/srv", last=True)
    assert answer["kind"] == "error"
    assert source.written == []


def test_uploads_and_downloads_are_bounded(view: Any, source: Source) -> None:
    answer, _ = view("upload", b"x" * (LARGEST + 1), id="u", name="n", path="/", last=True)
    assert "is larger than" in answer["text"]
    for number in range(9):
        answer, _ = view("download", path="/big", id=str(number))
    assert answer["text"] == "too many downloads at a time"
    view("next", id="0")
    view.view.close()
    assert source.closed == 1  # the others have not begun


def test_nothing_is_left_of_a_download_that_never_begins() -> None:
    closed: list[str] = []
    parts = Parts(iter([b"a"]), lambda: closed.append("archive"), lambda: closed.append("holder"))
    parts.close()
    parts.close()
    assert closed == ["archive", "holder"]
    assert list(Parts(iter([b"a"]), lambda: closed.append("read"))) == [b"a"]
    assert closed[-1] == "read"


def test_the_files_of_an_image_are_not_changed(source: Source) -> None:
    view = FilesView("httpd", "/", source, writable=False)
    view.receive({"kind": "upload", "id": "u", "name": "n", "path": "/", "last": True}, [b"x"])
    assert source.written == []


def test_a_file_is_taken_out_of_its_archive() -> None:
    class Archive:
        closed = False

        def __init__(self, data: bytes) -> None:
            self._parts = iter([data[:700], data[700:]])

        def __iter__(self) -> Iterator[bytes]:
            return self._parts

        def close(self) -> None:
            self.closed = True

    archive = Archive(packed("a", b"content"))
    assert b"".join(pieces(archive, entry("a"))) == b"content"
    assert archive.closed
    whole = packed("a", b"content")
    folder = pieces(Archive(whole), entry("d", stat.S_IFDIR | 0o755))
    assert head(folder, 100) == whole[:100]


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", True), (b"plain\n", True), ("grüße".encode()[:-1], True), (b"\x89PNG\r\n", False),
     (b"a\0b", False), (bytes(range(128, 256)), False)],
)  # fmt: skip
def test_what_reads_as_text_is_shown(data: bytes, expected: bool) -> None:
    assert is_text(data) is expected


def test_a_name_that_no_file_can_have_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        packed("a/b", b"")
