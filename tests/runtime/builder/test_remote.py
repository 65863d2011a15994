"""ADD from servers and repositories, contexts from elsewhere, COPY --parents."""

from __future__ import annotations

import hashlib
import io
import os
import select
import socket
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.model.build import StepDone
from tests.runtime.builder.conftest import Site

pytestmark = pytest.mark.root


def archive(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return archive.getvalue()


@dataclass
class Server:
    """Files over HTTP: path → (bytes, headers). `asked` counts the answers with contents."""

    url: str = ""
    files: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in server.files:
                self.send_error(404)
                return
            data, headers = server.files[self.path]
            if "Stall" in headers:
                self._stall(data, headers)
                return
            if "Location" in headers:
                self.send_response(302)
            elif "ETag" in headers and self.headers["If-None-Match"] == headers["ETag"]:
                self.send_response(304)
                data = b""
            else:
                self.send_response(200)
                self.send_header("Content-Length", headers.get("Length", str(len(data))))
                server.asked.append(self.path)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _stall(self, data: bytes, headers: dict[str, str]) -> None:
            """Goes silent in the middle, and gives the rest when it is asked for."""
            server.asked.append(self.headers.get("Range", ""))
            begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(data) - begin))
            self.send_header("ETag", headers["ETag"])
            self.end_headers()
            if begin and headers["Stall"] == "once":
                self.wfile.write(data[begin:])
                return
            self.wfile.write(data[: len(data) // 2])
            poll = select.poll()
            poll.register(self.connection, select.POLLRDHUP)
            poll.poll(60_000)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        server.url = f"http://127.0.0.1:{httpd.server_port}"
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield server
        httpd.shutdown()
        thread.join()


def cached(steps: list[StepDone]) -> list[bool]:
    return [step.cached for step in steps]


# --- http --------------------------------------------------------------------------------------


def test_row_37_an_archive_from_a_server_stays_one_and_is_0600(site: Site, server: Server) -> None:
    when = "Wed, 21 Oct 2015 07:28:00 GMT"
    data = archive({"x": "x"})
    server.files["/dir/a.tar.gz?x=1"] = data, {"Last-Modified": when}
    image = site.build(f"FROM scratch\nADD {server.url}/dir/a.tar.gz?x=1 /in/")
    file = site.layer(image) / "in" / "a.tar.gz"
    status = file.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime) == (0o600, 0, 1445412480)
    assert file.read_bytes() == data


def test_an_archive_is_unpacked_when_asked(site: Site, server: Server) -> None:
    server.files["/a.tar.gz"] = archive({"x": "hello"}), {}
    image = site.build(f"FROM scratch\nADD --unpack=true {server.url}/a.tar.gz /in/")
    assert (site.layer(image) / "in" / "x").read_text() == "hello"


def test_a_file_may_be_named_chmodded_and_given_away(site: Site, server: Server) -> None:
    server.files["/f"] = b"hello", {"Content-Disposition": 'attachment; filename="../told"'}
    image = site.build(
        f"FROM scratch\nADD --chmod=755 --chown=7:8 {server.url}/f /bin/tool\n"
        f"ADD {server.url}/f /in/"
    )
    status = (site.layer(image, 0) / "bin" / "tool").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 7, 8)
    assert (site.layer(image, 1) / "in" / "f").read_text() == "hello"


def test_an_unchanged_file_is_not_sent_again(site: Site, server: Server) -> None:
    server.files["/f"] = b"hello", {"ETag": '"1"'}
    text = f"FROM scratch\nADD {server.url}/f /"
    assert cached(site.steps(text)) == [False]
    assert cached(site.steps(text)) == [True]
    assert server.asked == ["/f"]
    server.files["/f"] = b"hello", {"ETag": '"2"'}
    assert cached(site.steps(text)) == [True]  # sent again, and still the same
    server.files["/f"] = b"other", {"ETag": '"3"'}
    assert cached(site.steps(text)) == [False]
    assert cached(site.steps(text, no_cache=True)) == [False]


def test_a_checksum_is_checked_and_spares_asking(site: Site, server: Server) -> None:
    server.files["/f"] = b"hello", {}
    right = hashlib.sha256(b"hello").hexdigest()
    text = f"FROM scratch\nADD --checksum=sha256:{right} {server.url}/f /"
    assert cached(site.steps(text)) == [False]
    server.files.clear()
    assert cached(site.steps(text)) == [True]
    server.files["/f"] = b"other", {}
    with pytest.raises(InvalidInput, match="digest mismatch"):
        site.build(text, no_cache=True)
    with pytest.raises(InvalidInput, match="invalid checksum digest format: md5:1"):
        site.build(f"FROM scratch\nADD --checksum=md5:1 {server.url}/f /")


def test_a_redirect_is_followed_but_not_out_of_http(site: Site, server: Server) -> None:
    server.files["/old"] = b"", {"Location": "/new"}
    server.files["/new"] = b"hello", {}
    image = site.build(f"FROM scratch\nADD {server.url}/old /")
    assert (site.layer(image) / "old").read_text() == "hello"
    server.files["/bad"] = b"", {"Location": "file:///etc/hostname"}
    with pytest.raises(RemoteFailed, match="/bad"):
        site.build(f"FROM scratch\nADD {server.url}/bad /")


def test_what_a_server_does_not_have_or_breaks_off_is_told_by_line(
    site: Site, server: Server
) -> None:
    with pytest.raises(NotFound, match=r"^Dockerfile:2: ADD failed: failed to load .*/none: 404"):
        site.build(f"FROM scratch\nADD {server.url}/none /")
    server.files["/cut"] = b"hello", {"Length": "10"}
    with pytest.raises(RemoteFailed, match="/cut"):
        site.build(f"FROM scratch\nADD {server.url}/cut /")


@pytest.mark.parametrize(
    "address", ["http://[", "http://127.0.0.1:1/x y", "http://a b/", "http://"]
)
def test_what_is_no_address_is_told(site: Site, address: str) -> None:
    with pytest.raises(DockmagicError, match="failed to load"):
        site.build(None, context=address)
    with pytest.raises(DockmagicError, match=r"^Dockerfile:2"):
        site.build(f'FROM scratch\nADD ["{address}", "/x"]')


def test_a_context_that_only_looks_like_an_address_is_told(site: Site) -> None:
    with pytest.raises(InvalidInput, match=r'path "git@\[:x" not found'):
        site.build(None, context="git@[:x")


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"'])
def test_security_4_a_file_that_stalls_is_taken_up_once(
    site: Site, server: Server, monkeypatch: pytest.MonkeyPatch, etag: str
) -> None:
    monkeypatch.setenv("DOCKMAGIC_STALL_TIMEOUT", "0.2")
    data = os.urandom(1_000_000)
    server.files["/f"] = data, {"Stall": "once", "ETag": '"1"'}
    image = site.build(f"FROM scratch\nADD {server.url}/f /")
    assert (site.layer(image) / "f").read_bytes() == data
    first, again = server.asked
    assert (first, again.startswith("bytes=")) == ("", True)
    server.files["/f"] = data, {"Stall": "always", "ETag": etag}
    with pytest.raises(RemoteFailed, match=r"/f: i/o timeout: no byte for 0\.2 seconds"):
        site.build(f"FROM scratch\nADD {server.url}/f /")


def test_security_4_a_repository_that_stalls_is_given_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKMAGIC_STALL_TIMEOUT", "0.2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for scheme in ("git", "http"):
            url = f"{scheme}://{address}/r.git"
            with pytest.raises(RemoteFailed, match=r"r\.git: i/o timeout: no byte for"):
                site.build(f"FROM scratch\nADD {url} /r")


# --- git ---------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """A repository behind git://, with two commits; the first is tagged."""
    from dulwich.server import DictBackend, TCPGitServer

    where = tmp_path / "repository"
    run = ["git", "-C", str(where), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "main", where], check=True)
    for text, tag in (("one", "v1"), ("two", "")):
        (where / "sub").mkdir(exist_ok=True)
        (where / "sub" / "file").write_text(text)
        (where / "Dockerfile").write_text("FROM scratch\nCOPY sub/file /told\n")
        subprocess.run([*run, "add", "."], check=True)
        subprocess.run([*run, "commit", "-q", "-m", text], check=True)
        if tag:
            subprocess.run([*run, "tag", "-a", "-m", tag, tag], check=True)
    from dulwich.repo import Repo

    with Repo(str(where)) as repo:
        repositories: dict[str, Any] = {"/r": repo}
        git = TCPGitServer(DictBackend(repositories), "127.0.0.1", 0)
        thread = threading.Thread(target=git.serve_forever, args=(0.01,))
        thread.start()
        yield f"git://127.0.0.1:{git.server_address[1]}/r"
        git.shutdown()
        git.server_close()
        thread.join()


def test_a_repository_is_added_without_its_history(site: Site, repository: str) -> None:
    image = site.build(f"FROM scratch\nADD {repository} /one\nADD {repository}#v1:sub /two")
    assert sorted(os.listdir(site.layer(image, 0) / "one")) == ["Dockerfile", "sub"]
    assert (site.layer(image, 0) / "one" / "sub" / "file").read_text() == "two"
    assert (site.layer(image, 1) / "two" / "file").read_text() == "one"
    assert all(cached(site.steps(f"FROM scratch\nADD {repository} /one")))


def test_its_history_comes_along_when_asked(site: Site, repository: str) -> None:
    image = site.build(f"FROM scratch\nADD --keep-git-dir=true {repository} /r")
    assert (site.layer(image) / "r" / ".git").is_dir()


def test_a_reference_that_is_not_there_is_told(site: Site, repository: str) -> None:
    with pytest.raises(NotFound, match="has no reference nope"):
        site.build(f"FROM scratch\nADD {repository}#nope /r")
    with pytest.raises(InvalidInput, match="expected checksum to match 1234"):
        site.build(f"FROM scratch\nADD --checksum=1234 {repository} /r")


def test_a_repository_is_a_context(site: Site, repository: str) -> None:
    image = site.build(None, context=f"{repository}#main")
    assert (site.layer(image) / "told").read_text() == "two"


# --- contexts from elsewhere -------------------------------------------------------------------


def test_an_archive_is_a_context(site: Site, server: Server) -> None:
    data = archive({"Dockerfile": "FROM scratch\nCOPY x /\n", "x": "hello"})
    image = site.build(None, context=None, context_tar=io.BytesIO(data))
    assert (site.layer(image) / "x").read_text() == "hello"
    server.files["/c.tgz"] = data, {}
    assert site.build(None, context=f"{server.url}/c.tgz").id == image.id
    other = site.build("FROM scratch\nCOPY x /y", context=f"{server.url}/c.tgz")
    assert (site.layer(other) / "y").read_text() == "hello"


def test_a_stream_that_is_no_archive_is_the_dockerfile(site: Site, server: Server) -> None:
    text = b"FROM scratch\nLABEL a=1\n"
    image = site.build(None, context=None, context_tar=io.BytesIO(text))
    assert image.config.labels == {"a": "1"}
    server.files["/Dockerfile"] = text, {}
    assert site.build(None, context=f"{server.url}/Dockerfile").id == image.id


def test_a_dockerfile_that_the_context_has_not_is_told(site: Site) -> None:
    with pytest.raises(NotFound, match="failed to read dockerfile: open nope: no such file"):
        site.build(None, file_name="nope")


def test_a_named_context_is_copied_from(site: Site, tmp_path: Path, server: Server) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a").write_text("docs")
    (tmp_path / "docs" / "secret").write_text("x")
    (tmp_path / "docs" / ".dockerignore").write_text("secret\n.dockerignore")
    server.files["/c.tgz"] = archive({"b": "far"}), {}
    contexts = {"docs": str(tmp_path / "docs"), "far": f"{server.url}/c.tgz"}
    text = "FROM scratch\nCOPY --from=docs . /\nCOPY --from=far /b /"
    image = site.build(text, build_contexts=contexts)
    assert os.listdir(site.layer(image, 0)) == ["a"]
    assert (site.layer(image, 1) / "b").read_text() == "far"


def test_a_named_context_takes_the_place_of_a_stage(site: Site, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "f").write_text("context")
    site.write("f", "stage")
    text = "FROM scratch AS made\nCOPY f /\nFROM scratch\nCOPY --from=made /f /"
    assert (site.layer(site.build(text)) / "f").read_text() == "stage"
    image = site.build(text, build_contexts={"made": str(tmp_path / "docs")})
    assert (site.layer(image) / "f").read_text() == "context"


# --- parents -----------------------------------------------------------------------------------


def tree(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_parents_come_along(site: Site) -> None:
    site.write("x/a.txt", "a")
    site.write("y/b/c.txt", "c")
    site.write("y/b/d.txt", "d")
    (site.context / "x").chmod(0o750)
    image = site.build("FROM scratch\nCOPY --parents x/a.txt y/b /in/")
    where = site.layer(image) / "in"
    assert tree(where) == ["x", "x/a.txt", "y", "y/b", "y/b/c.txt", "y/b/d.txt"]
    assert stat.S_IMODE((where / "x").stat().st_mode) == 0o750


def test_parents_begin_at_the_pivot(site: Site) -> None:
    site.write("x/y/z/a.txt", "a")
    image = site.build("FROM scratch\nCOPY --parents ./x/./y/*/a.txt /in/")
    assert tree(site.layer(image) / "in") == ["y", "y/z", "y/z/a.txt"]


def test_two_stars_are_any_number_of_directories(site: Site) -> None:
    for name in ("x/a.txt", "x/y/a.txt", "x/y/z/a.txt", "x/y/z/b", "a.txt"):
        site.write(name, name)
    (site.context / "x/y/loop").symlink_to("../..")
    image = site.build("FROM scratch\nCOPY --parents x/./**/a.txt /in/")
    files = ["a.txt", "y/a.txt", "y/z/a.txt"]
    assert [path for path in tree(site.layer(image) / "in") if path.endswith("txt")] == files
    image = site.build("FROM scratch\nCOPY --parents x/y/** /in/")
    assert (site.layer(image) / "in/x/y/z/b").exists()
    # without --parents two stars are one: the pattern matches nothing, which is no error
    image = site.build("FROM scratch\nCOPY x/**/b /in/\nCOPY a.txt /")
    assert [path for path in tree(site.layer(image)) if path.startswith("in")] == []


def test_where_a_file_is_counts_when_its_parents_come_along(site: Site) -> None:
    """The same name and contents in another directory are another layer."""
    text = "FROM scratch\nCOPY --parents */a.txt /in/"
    site.write("x/a.txt", "a")
    site.build(text)
    (site.context / "x").rename(site.context / "y")
    assert not site.steps(text)[0].cached
    (site.context / "y").chmod(0o700)
    assert not site.steps(text)[0].cached
    assert site.steps(text)[0].cached
