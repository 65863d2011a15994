"""`FakeRegistry`: a registry in this process, on loopback, that fails as it is told to.

It speaks the distribution protocol from memory, whole enough for clients other than ours, and
notes every request. A `Fault` says what goes wrong with the next requests that match: broken
connections, flipped bytes, wrong sizes, redirects, any status. Without faults it is honest.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.testing.registry_server import Fault, RequestLog, Server, digest_of

if TYPE_CHECKING:
    import ssl

__all__ = ["FakeRegistry", "Fault", "RequestLog", "digest_of"]

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


class FakeRegistry:
    """A context manager; `host` is `address:port`. Fill it with `add_image` or by pushing.

    `user` asks for a name and password; with `tokens` they are asked for by a token service, on
    this same server, that gives strangers what needs no password.
    """

    def __init__(
        self,
        *,
        user: tuple[str, str] | None = None,
        tokens: bool = False,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.user = user
        self.tokens = tokens
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.seen: list[RequestLog] = []
        self.connections = 0  # that were made so far
        self.faults: list[Fault] = []
        self.errors: list[BaseException] = []
        self.lock = threading.Lock()
        self._server = Server(self, address)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        if self.errors and error is None:
            raise self.errors[0]

    @property
    def host(self) -> str:
        address, port = self._server.server_address[:2]
        return f"[{address!s}]:{port}" if ":" in str(address) else f"{address!s}:{port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

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
        """Those whose `METHOD /path` contains `match`, in order."""
        with self.lock:
            return [one for one in self.seen if match in f"{one.method} {one.path}"]

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
        """An image whose layers are these tars, uncompressed. The manifest's digest."""
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
