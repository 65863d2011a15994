"""The bytes on the connection: what clients of Docker rely on, and what no client should send."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime import ContainerSpec, Engine

from .conftest import Connect

pytestmark = [pytest.mark.root, pytest.mark.network]


def exchange(connection: socket.socket, text: str | bytes) -> bytes:
    """All that the server answers until it closes."""
    connection.sendall(text.encode() if isinstance(text, str) else text)
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer


def unframed(data: bytes) -> bytes:
    """What frames of standard output carry: where they are cut is the kernel's affair."""
    carried = b""
    while data:
        assert data[:4] == b"\x01\0\0\0"
        end = 8 + int.from_bytes(data[4:8], "big")
        carried, data = carried + data[8:end], data[end:]
    return carried


def get(connection: socket.socket, path: str) -> tuple[int, dict[str, str], bytes]:
    answer = exchange(connection, f"GET {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, body


def test_ping_has_the_headers_by_which_clients_negotiate(connect: Connect) -> None:
    status, headers, body = get(connect(), "/_ping")
    assert (status, body) == (200, b"OK")
    assert headers["api-version"] == "1.50"
    assert headers["ostype"] == "linux"
    assert headers["docker-experimental"] == "false"
    assert headers["builder-version"] == "1"


def test_a_version_outside_the_range_is_refused_in_mobys_words(connect: Connect) -> None:
    status, _, body = get(connect(), "/v1.51/info")
    assert status == 400
    assert json.loads(body)["message"] == (
        "client version 1.51 is too new. Maximum supported API version is 1.50"
    )
    assert get(connect(), "/v1.11/info")[0] == 400
    assert get(connect(), "/v1.22/version")[0] == 200  # of Debian 12's skopeo
    assert get(connect(), "/v1.24/version")[0] == 200
    assert get(connect(), "/nosuch")[0] == 404
    assert get(connect(), "/containers/create")[0] == 405


def test_one_connection_serves_request_after_request(connect: Connect) -> None:
    connection = connect()
    for _ in range(3):
        connection.sendall(b"HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
        assert b"200" in connection.recv(65536)
        connection.sendall(
            b"POST /volumes/nosuch/x HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\nbody"
        )
        assert b"404" in connection.recv(65536)  # a response of known length comes in one piece


def test_filters_are_read_in_both_encodings(engine: Engine, connect: Connect) -> None:
    engine.volumes.create("aa", labels={"x": "1"})
    engine.volumes.create("bb")
    for filters in ("%7B%22label%22:%5B%22x%22%5D%7D", "%7B%22label%22:%7B%22x%22:true%7D%7D"):
        _, _, body = get(connect(), f"/volumes?filters={filters}")
        assert [volume["Name"] for volume in json.loads(body)["Volumes"]] == ["aa"]
    assert get(connect(), "/volumes?filters=%5B%5D")[0] == 400
    assert get(connect(), "/volumes?filters=%7B")[0] == 400
    engine.volumes.remove("aa")
    engine.volumes.remove("bb")


def test_attach_before_start_gets_the_first_byte_and_wait_the_exit(
    engine: Engine, connect: Connect
) -> None:
    spec = ContainerSpec(image="busybox", command=("sh", "-c", "echo first; cat; exit 6"),
                         open_stdin=True, auto_remove=True)  # fmt: skip
    id = engine.containers.create(spec).id
    attached, waiting, starting = connect(), connect(), connect()
    attached.sendall(
        f"POST /containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
    )
    assert b"101 UPGRADED" in attached.recv(65536)
    waiting.sendall(
        f"POST /containers/{id}/wait?condition=removed HTTP/1.1\r\nHost: d\r\n\r\n".encode()
    )
    assert b"200" in waiting.recv(65536)  # before it has started
    starting.sendall(f"POST /containers/{id}/start HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    assert b"204" in starting.recv(65536)
    attached.sendall(b"typed")
    attached.shutdown(socket.SHUT_WR)
    output = b""
    while data := attached.recv(65536):
        output += data
    assert unframed(output) == b"first\ntyped"
    assert b'{"StatusCode":6}' in waiting.recv(65536)


def test_a_client_that_leaves_stops_neither_the_container_nor_the_server(
    engine: Engine, connect: Connect
) -> None:
    container = engine.containers.run("busybox", ["sleep", "1000"], detach=True)
    before = threading.active_count()
    for path in ("wait", "attach?stream=1&stdout=1"):
        connection = connect()
        connection.sendall(
            f"POST /containers/{container.id}/{path} HTTP/1.1\r\nHost: d\r\n\r\n".encode()
        )
        assert b"200" in connection.recv(65536)
        connection.close()
    connection = connect()
    path = f"/containers/{container.id}/logs?follow=1&stdout=1"
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    assert b"200" in connection.recv(65536)
    connection.close()
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() == before
    assert engine.containers.get(container.id).status.is_alive


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /_ping HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\nA b: c\r\n\r\n", b"400"),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", b"431"),
        (b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: x\r\n\r\n", b"400"),
        (
            b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n"
            b"Content-Length: 2\r\n\r\n",
            b"400",
        ),
        (
            b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
            b"400",
        ),
        (
            b"POST /containers/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
            b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
            b"400",
        ),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\nOrigin: http://evil\r\nConnection: close\r\n\r\n",
         b"403"),
        (b"GET /containers/..%2f..%2fetc/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
         b"404"),
        (b"GET /containers/%00/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", b"400"),
        (b"BREW /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", b"405"),
    ],
)  # fmt: skip
def test_bad_requests_have_an_answer(connect: Connect, request_text: bytes, status: bytes) -> None:
    answer = exchange(connect(), request_text)
    assert answer.split(b" ", 2)[1] == status
    assert b'{"message":' in answer
    assert get(connect(), "/_ping")[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"1", b"null", b'{"Image": 1}', b'{"Image": "busybox", "Cmd": {"a": 1}}',
        b'{"Image": "busybox", "HostConfig": []}', b'{"Image": "busybox", "Env": [1]}',
        b'{"Image": "busybox", "HostConfig": {"PortBindings": {"x": [{"HostPort": "y"}]}}}',
        b'{"Image": "busybox", "HostConfig": {"Binds": [":"]}}',
        b'{"Image": "busybox", "NetworkingConfig": {"EndpointsConfig": 5}}',
        b'{"Image": "busybox", "HostConfig": {"Memory": "much"}}',
        b'{"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}',
        b'{"Image": ' + b"[" * 100_000,
        b'{"Image": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_wrong_document_is_a_400_and_nothing_is_made(
    engine: Engine, connect: Connect, body: bytes
) -> None:
    answer = exchange(
        connect(),
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
    )
    assert answer.split(b" ", 2)[1] in (b"400", b"404")
    assert engine.containers.list(all=True) == ()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_no_bytes_end_the_server(connect: Connect, data: bytes) -> None:
    connection = connect()
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass
    connection.close()
    assert get(connect(), "/_ping")[0] == 200


def test_two_hundred_requests_side_by_side(connect: Connect) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(get(connect(), "/containers/json")[0]))
        for _ in range(200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 200
