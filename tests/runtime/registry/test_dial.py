"""Getting to a registry at all: refused, unknown, silent, behind a proxy, over TLS."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput, RemoteFailed
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.endpoint import RegistryEndpoint
from dockmagic_runtime.registry.errors import RegistryUnreachable
from dockmagic_runtime.registry.transport import Timeouts
from dockmagic_runtime.testing.registry import FakeRegistry, Fault

from .conftest import Connect, make_certificate


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _plain(host: str, port: int) -> RegistryEndpoint:
    return RegistryEndpoint(registry=f"{host}:{port}", host=host, port=port, scheme="http")


def test_a_closed_port_is_unreachable_at_once(connect: Connect) -> None:
    client = connect(f"127.0.0.1:{_closed_port()}")
    with pytest.raises(RegistryUnreachable, match="connection refused"):
        client.manifest("app", "1")


def test_an_unknown_name_is_unreachable_at_once(connect: Connect) -> None:
    with pytest.raises(RegistryUnreachable, match=r"lookup registry\.invalid: "):
        connect("registry.invalid").manifest("app", "1")


def test_a_name_that_is_none_is_unreachable(connect: Connect) -> None:
    endpoint = RegistryEndpoint(registry="x", host="a" * 64 + ".invalid", port=443)
    with pytest.raises(RegistryUnreachable):
        connect("", endpoint=endpoint).ping()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing_is_unreachable_after_the_timeout(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        endpoint = RegistryEndpoint(registry="x", host="127.0.0.1", port=port, scheme=scheme)
        timeouts = Timeouts(connect=0.1)
        with (
            RegistryClient(endpoint, timeouts=timeouts, certificates=()) as client,
            pytest.raises(RegistryUnreachable, match="timeout"),
        ):
            client.ping()


def test_a_resolver_that_says_nothing_is_unreachable_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait() and [])
    endpoint = RegistryEndpoint.of("registry.invalid")
    try:
        with (
            RegistryClient(endpoint, timeouts=Timeouts(connect=0.1), certificates=()) as client,
            pytest.raises(RegistryUnreachable, match=r"lookup registry\.invalid: i/o timeout"),
        ):
            client.ping()
    finally:
        answered.set()


def test_the_second_address_is_tried_when_the_first_refuses(
    fake: FakeRegistry, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(fake.host.split(":")[1])
    result = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: result)
    connect("", endpoint=_plain("registry.invalid", port)).ping()
    assert fake.seen[0].header("host") == f"registry.invalid:{port}"


# -------------------------------------------------------------------- TLS


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[FakeRegistry]:
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FakeRegistry(tls=context) as registry:
        yield registry


def _verified(registry: FakeRegistry) -> RegistryEndpoint:
    host, port = registry.host.split(":")
    return RegistryEndpoint(registry=registry.host, host=host, port=int(port))


def test_an_unknown_certificate_is_refused_with_what_to_do(
    secure: FakeRegistry, connect: Connect
) -> None:
    with pytest.raises(RemoteFailed, match="failed to verify certificate") as caught:
        connect("", endpoint=_verified(secure)).ping()
    assert not isinstance(caught.value, RegistryUnreachable)
    assert f"certs.d/{secure.host}/ca.crt" in caught.value.hint


def test_a_ca_in_certs_d_is_trusted_for_its_registry_alone(
    secure: FakeRegistry, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "certs.d" / secure.host
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "server.pem", folder / "ca.crt")
    connect("", endpoint=_verified(secure), certificates=(folder.parent,)).ping()
    folder.rename(folder.parent / "other.test")
    with pytest.raises(RemoteFailed, match="failed to verify certificate"):
        connect("", endpoint=_verified(secure), certificates=(folder.parent,)).ping()


def test_an_insecure_registry_may_have_any_certificate(
    secure: FakeRegistry, connect: Connect
) -> None:
    connect(secure.host).ping()
    assert secure.seen


def test_a_registry_without_tls_is_not_asked_in_the_clear(
    fake: FakeRegistry, connect: Connect
) -> None:
    with pytest.raises(RegistryUnreachable):
        connect("", endpoint=_verified(fake)).ping()
    assert not fake.seen


def test_a_redirect_out_of_tls_is_refused(secure: FakeRegistry, connect: Connect) -> None:
    with FakeRegistry() as plain:
        place = {"Location": f"{plain.url}/v2/app/manifests/1"}
        secure.fail(Fault(match="manifests", status=307, headers=place))
        with pytest.raises(RemoteFailed, match="would leave TLS"):
            connect(secure.host).manifest("app", "1")
        assert not plain.seen


def test_a_token_service_without_tls_is_refused(secure: FakeRegistry, connect: Connect) -> None:
    with FakeRegistry(tokens=True) as plain:
        offer = {"WWW-Authenticate": f'Bearer realm="{plain.url}/token"'}
        secure.fail(Fault(match="GET /v2/", status=401, headers=offer))
        with pytest.raises(RemoteFailed, match="a token service without TLS"):
            connect(secure.host).manifest("app", "1")
        assert not plain.seen


def test_a_client_certificate_without_its_key_is_named(
    secure: FakeRegistry, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "certs.d" / secure.host
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "server.pem", folder / "client.cert")
    with pytest.raises(InvalidInput, match=r"missing key client\.key"):
        connect(secure.host, certificates=(folder.parent,)).ping()


# -------------------------------------------------------------------- proxies


class _Proxy:
    """An HTTP proxy for one request at a time: whatever is asked for, it asks `target`."""

    def __init__(self, target: str, status: int = 200) -> None:
        self.lines: list[str] = []
        self._target = target
        self._status = status
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                self._handle(client)

    def _handle(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        self.lines += head.decode().split("\r\n")
        if self._status != 200:
            client.sendall(f"HTTP/1.1 {self._status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        host, port = self._target.split(":")
        with socket.create_connection((host, int(port))) as server:
            if head.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                server.sendall(head)
            back = threading.Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction has ended it


@contextmanager
def _proxied(
    monkeypatch: pytest.MonkeyPatch, target: str, variable: str, status: int = 200
) -> Iterator[_Proxy]:
    with closing(_Proxy(target, status)) as proxy:
        monkeypatch.setenv(variable, f"http://me:secret@127.0.0.1:{proxy.port}")
        yield proxy


AUTHORIZATION = f"Proxy-Authorization: Basic {base64.b64encode(b'me:secret').decode()}"


def test_tls_goes_through_a_proxy_unbroken(
    secure: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = RegistryEndpoint(registry="r.invalid", host="r.invalid", is_insecure=True)
    with (
        _proxied(monkeypatch, secure.host, "HTTPS_PROXY") as proxy,
        RegistryClient(endpoint, certificates=()) as client,
    ):
        client.ping()
        assert proxy.lines[0] == "CONNECT r.invalid:443 HTTP/1.1"
        assert AUTHORIZATION in proxy.lines
        assert "proxy-authorization" not in secure.seen[0].headers


def test_plain_http_is_asked_of_a_proxy_by_its_url(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        _proxied(monkeypatch, fake.host, "HTTP_PROXY") as proxy,
        RegistryClient(_plain("r.invalid", 80), certificates=()) as client,
    ):
        client.ping()
        assert proxy.lines[0] == "GET http://r.invalid/v2/ HTTP/1.1"
        assert AUTHORIZATION in proxy.lines


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_makes_the_registry_unreachable(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with (
        _proxied(monkeypatch, "127.0.0.1:1", "HTTPS_PROXY", status),
        pytest.raises(RegistryUnreachable, match=f"answered {status}") as caught,
    ):
        connect("r.invalid").ping()
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_not_there_makes_the_registry_unreachable(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{_closed_port()}")
    with pytest.raises(RegistryUnreachable, match="connection refused"):
        connect("r.invalid").ping()
