"""What `FakeRegistry` holds, and what its server reads and changes: contents, faults, requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct, field

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


class Fault(Struct, kw_only=True):
    """What goes wrong with the next `times` requests with `match` in `METHOD /path`."""

    match: str
    times: int = 1
    status: int = 0  # answer this, with `headers` and `body`
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drop_after: int = -1  # hang up after so many bytes of the body; 0: without any answer
    stall_after: int = -1  # go silent after so many bytes of the body, and hang up with the client
    is_silent: bool = False  # read nothing more and answer nothing, until the client hangs up
    byte_pause: float = 0  # seconds before each byte of the body
    read_at_most: int = -1  # hang up after so many bytes of what is sent to us
    flip: int = -1  # invert the byte at this place of the body
    surplus: bytes = b""  # send this behind the body, as part of it
    claim: int = 0  # added to Content-Length
    ignore_range: bool = False
    content_type: str = ""
    is_stranger: bool = False  # do not say that a registry answers


class RequestLog(Struct, frozen=True):
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


def digest_of(data: bytes | bytearray) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


class RegistryState:
    """Blobs and manifests by repository name, and the behaviour that a test asked for.

    The server's threads and the test share it: `lock` guards everything but `user`, `tokens` and
    `scheme`, which do not change.
    """

    def __init__(
        self, *, user: tuple[str, str] | None = None, tokens: bool = False, scheme: str = "http"
    ) -> None:
        self.user = user
        self.tokens = tokens
        self.scheme = scheme
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.seen: list[RequestLog] = []
        self.connections = 0  # opened so far
        self.faults: list[Fault] = []
        self.errors: list[BaseException] = []
        self.lock = threading.Lock()

    def fail(self, fault: Fault) -> None:
        with self.lock:
            self.faults.append(fault)

    def fault_for(self, line: str) -> Fault:
        """The fault of a request, used up once more; an empty one if it is to be honest."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.match in line:
                    fault.times -= 1
                    return fault
        return Fault(match="")

    def requests(self, match: str = "") -> list[RequestLog]:
        """Those with `match` in `METHOD /path`, in order."""
        with self.lock:
            return [log for log in self.seen if match in f"{log.method} {log.path}"]

    # ---------------------------------------------------------------- contents

    def add_blob(self, name: str, data: bytes) -> str:
        digest = digest_of(data)
        with self.lock:
            self.blobs.setdefault(name, {})[digest] = data
        return digest

    def add_manifest(self, name: str, tag: str, media_type: str, document: Any) -> str:
        """`document` is encoded, unless it is bytes. Its digest."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = digest_of(data)
        with self.lock:
            known = self.manifests.setdefault(name, {})
            known[digest] = (media_type, data)
            if tag:
                known[tag] = (media_type, data)
        return digest

    def add_image(
        self,
        name: str,
        tag: str,
        layers: tuple[bytes, ...],
        *,
        platform: str = "linux/amd64",
        media_type: str = OCI_LAYER,
    ) -> str:
        """An image with these tars, uncompressed, as layers. The manifest's digest."""
        system, architecture = platform.split("/")
        config = {
            "os": system,
            "architecture": architecture,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self._descriptor(name, OCI_CONFIG, json.dumps(config).encode()),
            "layers": [self._descriptor(name, media_type, layer) for layer in layers],
        }
        return self.add_manifest(name, tag, OCI_MANIFEST, document)

    def add_index(self, name: str, tag: str, images: Mapping[str, str]) -> str:
        """An index of manifests that are there: digest to `os/architecture[/variant]`."""
        entries = []
        for digest, platform in images.items():
            media_type, data = self.manifests[name][digest]
            keys = ("os", "architecture", "variant")
            entries.append(
                {
                    "mediaType": media_type,
                    "digest": digest,
                    "size": len(data),
                    "platform": dict(zip(keys, platform.split("/"), strict=False)),
                }
            )
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return self.add_manifest(name, tag, OCI_INDEX, document)

    def _descriptor(self, name: str, media_type: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.add_blob(name, data), "size": len(data)}
