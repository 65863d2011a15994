"""Where the server listens, and which clients it lets in."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from dockmagic_runtime.api.listeners import TlsFiles, listen
from dockmagic_runtime.api.server import Server
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.errors import Conflict, InvalidInput
from tests.dockmagic.fake_engine import FakeEngine


def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    (listener,) = listen(f"unix://{tmp_path}/s")
    assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o660
    listener.close()
    assert not (tmp_path / "s").exists()


def test_a_socket_that_no_process_serves_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    (listener,) = listen(f"unix://{tmp_path}/s")
    with pytest.raises(Conflict, match="another process listens"):
        listen(f"unix://{tmp_path}/s")
    listener.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("kept")
    with pytest.raises(Conflict, match="no socket"):
        listen(f"unix://{tmp_path}/s")
    assert (tmp_path / "s").read_text() == "kept"


@pytest.mark.parametrize(
    "host", ["", "unix://", "unix://relative", "tcp://127.0.0.1:1", "http://x", "/run/x", "fd://",
             "unix:///nonexistent/x", "tcp://127.0.0.1:99999"],
)  # fmt: skip
def test_what_cannot_be_listened_on(host: str) -> None:
    with pytest.raises((InvalidInput, Conflict)):
        listen(host)


def test_tcp_without_tls_only_where_the_flag_says_so() -> None:
    with pytest.raises(InvalidInput, match="TCP needs TLS"):
        listen("tcp://127.0.0.1:0")
    (listener,) = listen("tcp://127.0.0.1:0", insecure_tcp=True)
    assert not listener.is_secure
    listener.close()


def _certificates(place: Path) -> None:
    """An authority, a server and a client; another authority with a client of its own."""
    for name in ("own", "other"):
        _openssl(place, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
                 "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2")  # fmt: skip
    for name, authority in (("server", "own"), ("client", "own"), ("stranger", "other")):
        _openssl(place, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
                 "-out", f"{name}.csr", "-subj", f"/CN={name}")  # fmt: skip
        (place / "ext").write_text("subjectAltName=IP:127.0.0.1")
        _openssl(place, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem",
                 "-CAkey", f"{authority}.key", "-CAcreateserial", "-out", f"{name}.pem",
                 "-days", "2", "-extfile", "ext")  # fmt: skip


def _openssl(place: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=place, check=True, capture_output=True)


def test_over_tls_only_clients_of_the_authority_are_answered(tmp_path: Path) -> None:
    _certificates(tmp_path)
    files = TlsFiles(*(str(tmp_path / name) for name in ("own.pem", "server.pem", "server.key")))
    listeners = listen("tcp://127.0.0.1:0", tls=files)
    server = Server(Service(FakeEngine(), "1"), listeners)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        assert b"200" in _ask(listeners[0].address, tmp_path, "client")
        for stranger in ("stranger", ""):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                _ask(listeners[0].address, tmp_path, stranger)
    finally:
        server.shutdown()
        thread.join(10)
        listeners[0].close()


def _ask(address: str, place: Path, name: str) -> bytes:
    context = ssl.create_default_context(cafile=str(place / "own.pem"))
    if name:
        context.load_cert_chain(place / f"{name}.pem", place / f"{name}.key")
    host, port = address.removeprefix("tcp://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return secure.recv(65536)


def test_a_page_cannot_reach_an_open_port_by_dns_rebinding() -> None:
    listeners = listen("tcp://127.0.0.1:0", insecure_tcp=True)
    server = Server(Service(FakeEngine(), "1"), listeners, idle_timeout=30)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        port = int(listeners[0].address.rpartition(":")[2])
        for host, status in (("127.0.0.1", b"200"), ("localhost", b"200"), ("evil.test", b"403")):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                head = f"GET /_ping HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
                plain.sendall(head.encode())
                assert status in plain.recv(65536).split(b"\r\n")[0]
    finally:
        server.shutdown()
        thread.join(10)
        listeners[0].close()


def test_a_server_that_no_client_uses_ends_by_itself(tmp_path: Path) -> None:
    (listener,) = listen(f"unix://{tmp_path}/s")
    Server(Service(FakeEngine(), "1"), [listener], idle_timeout=0.2).serve()
    listener.close()
