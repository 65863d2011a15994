"""With skopeo at the other side, against Debian's docker-registry and against our fake of it.

What holds for the one holds for the other: otherwise the fake proves nothing.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from dockmagic_runtime.errors import NotFound, RemoteFailed
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.oci_documents import chain_ids
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.blob import BlobStream
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.credentials import Credentials
from dockmagic_runtime.registry.endpoint import RegistryEndpoint
from dockmagic_runtime.registry.errors import AccessDenied
from dockmagic_runtime.registry.manifest import (
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    Platform,
)
from dockmagic_runtime.registry.pull import Pulled, PulledLayer, pull
from dockmagic_runtime.registry.upload import RegistryWriter
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.testing.registry import FakeRegistry, digest_of

from .conftest import USER, Connect, Pauses, RealRegistry, serve

ADA = Credentials(username=USER[0], password=USER[1])
DATA = os.urandom(500_000)
BLOB = Descriptor(media_type="x", digest=digest_of(DATA), size=len(DATA))


def _tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


TARS = (_tar(a=b"one", b=b"two"), _tar(b=b"three" * 99), _tar(c=DATA))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout of three gzip layers."""
    folder = tmp_path_factory.mktemp("layout")
    (folder / "blobs" / "sha256").mkdir(parents=True)

    def blob(kind: str, data: bytes) -> dict[str, object]:
        (folder / "blobs" / "sha256" / digest_of(data)[7:]).write_bytes(data)
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in TARS]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": blob("application/vnd.oci.image.config.v1+json", json.dumps(config).encode()),
        "layers": [
            blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(tar, mtime=0))
            for tar in TARS
        ],
    }
    index = {"schemaVersion": 2, "manifests": [blob(OCI_MANIFEST, json.dumps(manifest).encode())]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def _skopeo(*arguments: str) -> str:
    if shutil.which("skopeo") is None:
        pytest.skip("optional: skopeo is not installed")
    done = subprocess.run(
        ["skopeo", *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def _push(layout: Path, host: str, name: str, *options: str) -> None:
    _skopeo(
        "copy", "-q", "--dest-tls-verify=false", *options, f"oci:{layout}",
        f"docker://{host}/{name}",
    )  # fmt: skip


@pytest.fixture(params=["real", "fake"])
def host(request: pytest.FixtureRequest) -> str:
    registry: RealRegistry | FakeRegistry = request.getfixturevalue(request.param)
    return registry.host


@pytest.fixture
def client(host: str, connect: Connect) -> RegistryClient:
    return connect(host)


class ImagesDestination:
    """The images room as a pull's destination, joined as the engine joins them."""

    def __init__(self, data_root: DataRoot, database: Database) -> None:
        self.layers = LayerStore(data_root, database)
        self.images = ImageStore(data_root, database, self.layers)
        self.blobs = BlobStore(data_root)

    def digests(self) -> Collection[str]:
        return ()

    def kept(self, digest: str, platform: Platform | None) -> Pulled | None:
        raise NotImplementedError("it knows no digest")

    def document(self, digest: str) -> bytes | None:
        return None

    def has_layer(self, diff_ids: tuple[str, ...]) -> bool:
        return self.layers.has(chain_ids(diff_ids)[-1])

    def has_blob(self, digest: str) -> bool:
        return self.blobs.has(digest)

    def partial(self, digest: str, pause: object) -> AbstractContextManager[BinaryIO]:
        return io.BytesIO()

    def put_blob(self, stream: BlobStream, file: BinaryIO) -> None:
        self.blobs.put(stream, digest=stream.descriptor.digest, size=stream.descriptor.size)

    def add_layer(self, layer: PulledLayer, progress: Callable[[int], None]) -> None:
        below = layer.diff_ids[:-1]
        with self.blobs.open(layer.descriptor.digest) as blob:
            self.layers.add(
                blob,
                chain_ids(below)[-1] if below else "",
                expected_diff_id=layer.diff_id,
                blob=layer.descriptor.digest,
                media_type=layer.descriptor.media_type,
            )
        progress(layer.descriptor.size)


@pytest.fixture
def destination(data_root: DataRoot) -> Iterator[ImagesDestination]:
    database = Database(data_root.database)
    yield ImagesDestination(data_root, database)
    database.close()


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_what_skopeo_pushed_becomes_an_image_here(
    layout: Path, host: str, client: RegistryClient, destination: ImagesDestination,
    kind: str,
) -> None:  # fmt: skip
    _push(layout, host, f"pushed/{kind}:1", "--format", kind)
    reference = ImageReference(host, f"pushed/{kind}", "1")
    *_, pulled = pull([client], reference, destination)
    assert isinstance(pulled, Pulled)
    assert pulled.manifest
    assert pulled.manifest.media_type == {"oci": OCI_MANIFEST, "v2s2": DOCKER_MANIFEST}[kind]
    shown = json.loads(_skopeo("inspect", "--tls-verify=false", f"docker://{reference.canonical}"))
    assert pulled.digest == shown["Digest"]
    chains = chain_ids(pulled.diff_ids)
    image = destination.images.put(pulled.config, chains, manifest=pulled.digest)
    assert image.id == digest_of(pulled.config)
    assert Path(destination.layers.path(chains[-1]), "c").read_bytes() == DATA


def test_lists_and_missing_things(layout: Path, host: str, client: RegistryClient) -> None:
    for tag in ("b", "a"):
        _push(layout, host, f"listed:{tag}")
    assert sorted(client.tags("listed")) == ["a", "b"]
    assert "listed" in client.catalog()
    with pytest.raises(NotFound) as caught:
        client.manifest("listed", "c")
    assert caught.value.message == (
        f"manifest for {host}/listed:c not found: manifest unknown: manifest unknown"
    )
    with pytest.raises(NotFound, match="blob unknown: blob unknown to registry"):
        client.open_blob("listed", BLOB)


@pytest.mark.parametrize("chunk_size", [0, 120_000])
def test_an_uploaded_blob_is_read_again_from_any_place(
    client: RegistryClient, chunk_size: int
) -> None:
    name = f"uploaded/{chunk_size}"
    RegistryWriter(client).upload_blob(name, BLOB, io.BytesIO(DATA), chunk_size=chunk_size)
    with client.open_blob(name, BLOB) as stream:
        assert stream.read() == DATA
    with client.open_blob(name, BLOB, begun=io.BytesIO(DATA[:1000])) as stream:
        assert stream.read() == DATA[1000:]


def test_a_streamed_upload_is_kept(client: RegistryClient) -> None:
    writer = RegistryWriter(client)
    chunks = (DATA[start : start + 77_777] for start in range(0, len(DATA), 77_777))
    assert writer.upload_stream("streamed", chunks) == (BLOB.digest, BLOB.size)
    assert writer.has_blob("streamed", BLOB.digest)


def test_a_broken_upload_goes_on(client: RegistryClient, pauses: Pauses) -> None:
    def break_once(sent: int) -> None:
        if 0 < sent < 400_000 and not pauses:  # within a chunk: it cannot be answered yet
            for line in list(client._transport._live):
                line.abort()

    RegistryWriter(client).upload_blob(
        "broken", BLOB, io.BytesIO(DATA), chunk_size=400_000, progress=break_once
    )
    assert pauses
    with client.open_blob("broken", BLOB) as stream:
        assert stream.read() == DATA


def test_a_digest_that_does_not_fit_is_refused_by_the_registry(client: RegistryClient) -> None:
    wrong = Descriptor(media_type="x", digest=digest_of(b"other"), size=len(DATA))
    with pytest.raises(RemoteFailed, match="digest invalid: provided digest did not match"):
        RegistryWriter(client).upload_blob("wrong", wrong, io.BytesIO(DATA))


def test_skopeo_reads_what_we_pushed(
    layout: Path, host: str, client: RegistryClient, tmp_path: Path
) -> None:
    writer = RegistryWriter(client)
    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    blobs = layout / "blobs" / "sha256"
    manifest = Manifest.parse(OCI_MANIFEST, (blobs / entry["digest"][7:]).read_bytes())
    assert manifest.config is not None
    for descriptor in (manifest.config, *manifest.layers):
        with (blobs / descriptor.digest[7:]).open("rb") as source:
            writer.upload_blob("ours", descriptor, source)
    writer.put_manifest("ours", "1", manifest)
    _skopeo(
        "copy", "-q", "--src-tls-verify=false", f"docker://{host}/ours:1",
        f"oci:{tmp_path}/copy",
    )  # fmt: skip
    copied = {path.name for path in (tmp_path / "copy" / "blobs" / "sha256").iterdir()}
    assert copied == {path.name for path in blobs.iterdir()}


def test_a_blob_is_mounted_across_repositories(client: RegistryClient) -> None:
    writer = RegistryWriter(client)
    writer.upload_blob("mount/from", BLOB, io.BytesIO(DATA))
    assert writer.mount_blob("mount/to", BLOB.digest, "mount/from")
    assert writer.has_blob("mount/to", BLOB.digest)
    assert not writer.mount_blob("mount/to", digest_of(b"none"), "mount/from")


def test_a_password_is_asked_for_and_serves(layout: Path, tmp_path: Path, connect: Connect) -> None:
    with serve(tmp_path, auth=True) as registry:
        _push(layout, registry.host, "private:1", "--dest-creds", ":".join(USER))
        client = connect(registry.host, ADA)
        client.ping()
        assert list(client.tags("private")) == ["1"]
        RegistryWriter(client).upload_blob("private", BLOB, io.BytesIO(DATA))
        with pytest.raises(AccessDenied, match="pull access denied for"):
            connect(registry.host).manifest("private", "1")
        with pytest.raises(AccessDenied, match="unauthorized"):
            connect(registry.host, Credentials(username="ada", password="no")).ping()


def test_tls_with_a_ca_of_its_own(layout: Path, tmp_path: Path, connect: Connect) -> None:
    with serve(tmp_path, tls=True) as registry:
        _push(layout, registry.host, "secure:1")
        host, port = registry.host.split(":")
        endpoint = RegistryEndpoint(registry=registry.host, host=host, port=int(port))
        with pytest.raises(RemoteFailed, match="failed to verify certificate"):
            connect("", endpoint=endpoint).ping()
        folder = tmp_path / "certs.d" / registry.host
        folder.mkdir(parents=True)
        shutil.copy(tmp_path / "server.pem", folder / "ca.crt")
        client = connect("", endpoint=endpoint, certificates=(folder.parent,))
        assert len(client.manifest("secure", "1").layers) == 3
        assert client.origin.scheme == "https"
