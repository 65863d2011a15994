"""Clients of the registries under test: ours that fails on demand, and Debian's docker-registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.credentials import Credentials
from dockmagic_runtime.registry.endpoint import RegistryEndpoint
from dockmagic_runtime.registry.manifest import Descriptor
from dockmagic_runtime.registry.retry import RetryPolicy
from dockmagic_runtime.testing.registry import FakeRegistry

USER = ("ada", "sesame-9")
_BCRYPT = "$2b$04$abcdefghijklmnopqrstuuesKYEAD0n1JpstVuqLckJCfDgiI95nW"  # of USER's password


class Pauses(list[float]):
    """Stands for waiting: notes how long it would have taken."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


Connect = Callable[..., RegistryClient]


@pytest.fixture
def connect(pauses: Pauses) -> Iterator[Connect]:
    """Makes clients that never really wait; they are closed at the end."""
    with ExitStack() as stack:

        def make(
            host: str,
            credentials: Credentials | None = None,
            *,
            endpoint: RegistryEndpoint | None = None,
            attempts: int = 5,
            certificates: tuple[Path, ...] = (),
        ) -> RegistryClient:
            client = RegistryClient(
                endpoint or RegistryEndpoint.of(host),
                credentials,
                pause=pauses,
                retry=RetryPolicy(attempts=attempts),
                certificates=certificates,
            )
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(fake: FakeRegistry, connect: Connect) -> RegistryClient:
    return connect(fake.host)


@dataclass(frozen=True, slots=True)
class RealRegistry:
    """Debian's docker-registry, with an empty store below `folder`."""

    host: str
    folder: Path


@contextmanager
def serve(folder: Path, *, auth: bool = False, tls: bool = False) -> Iterator[RealRegistry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("optional: docker-registry is not installed")
    process = subprocess.Popen(
        ["docker-registry", "serve", _configure(folder, auth=auth, tls=tls)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={"OTEL_TRACES_EXPORTER": "none"},
    )
    assert process.stderr is not None
    try:
        host = _listening(process.stderr)
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield RealRegistry(host, folder)
    finally:
        process.terminate()
        process.wait()
        drain.join()
        process.stderr.close()


def _listening(log: IO[str]) -> str:
    lines = []
    for line in log:
        lines.append(line)
        if match := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
            return match[1]
    raise AssertionError(f"docker-registry did not start:\n{''.join(lines)}")


def _configure(folder: Path, *, auth: bool, tls: bool) -> str:
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "store")}},
        "http": {"addr": "127.0.0.1:0", "secret": "s"},
    }
    if auth:
        (folder / "htpasswd").write_text(f"{USER[0]}:{_BCRYPT}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    if tls:
        certificate, key = make_certificate(folder)
        config["http"] = {
            "addr": "127.0.0.1:0",
            "secret": "s",
            "tls": {"certificate": str(certificate), "key": str(key)},
        }
    path = folder / "config.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return str(path)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *options, *names, *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with serve(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


BLOB = os.urandom(3 << 20)
BIG = "GET /v2/app/blobs/"


def put_blob(fake: FakeRegistry, data: bytes = BLOB) -> Descriptor:
    digest = fake.add_blob("app", data)
    return Descriptor(media_type="application/octet-stream", digest=digest, size=len(data))


def read_blob(client: RegistryClient, descriptor: Descriptor) -> bytes:
    with client.open_blob("app", descriptor) as stream:
        return stream.read()
