"""The server behind `FakeRegistry`: the distribution protocol over a dictionary of bytes."""

from __future__ import annotations

import base64
import json
import re
import select
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from dockmagic_runtime.testing.registry_state import Fault, RegistryState, RequestLog, digest_of

_NAME: Final = r"/v2/(?P<name>[a-z0-9._/-]+)"
_RANGE = re.compile(r"bytes=(\d+)-")
_TLS_HANDSHAKE: Final = b"\x16"
_LONGEST_SILENCE: Final = 60  # seconds
_NOT_FOUND: Final = (404, "UNSUPPORTED", "not found")


class Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can end with none left."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, registry: RegistryState, address: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), Handler)
        self.registry = registry
        self._connections: set[socket.socket] = set()

    @property
    def host(self) -> str:
        address, port = self.server_address[:2]
        return f"[{address!s}]:{port}" if ":" in str(address) else f"{address!s}:{port}"

    @property
    def url(self) -> str:
        return f"{self.registry.scheme}://{self.host}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        self.registry.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the client has closed it already

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.registry.errors.append(error)


class _HangUp(OSError):
    """The fault says that the connection ends here."""


class Handler(BaseHTTPRequestHandler):
    """One connection. `_route` finds the method that answers."""

    protocol_version = "HTTP/1.1"
    server: Server
    fault: Fault

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: tests read `FakeRegistry.seen`."""

    def handle(self) -> None:
        is_plain = self.server.registry.scheme == "http"
        if is_plain and self.connection.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            return  # a client that tries TLS first need not wait for the end of a line
        super().handle()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        registry = self.server.registry
        headers = {key.lower(): value for key, value in self.headers.items()}
        with registry.lock:
            registry.seen.append(RequestLog(self.command, self.path, headers))
        self.fault = registry.fault_for(f"{self.command} {self.path}")
        if self.fault.is_silent:
            self._await_hang_up()
        if self.fault.status or self.fault.drop_after == 0:
            self._read_body()
            self._answer(self.fault.status, self.fault.body or b"", dict(self.fault.headers))
            return
        parts = urlsplit(self.path)
        self._query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            self._give_token()
        elif self._is_let_in(parts.path):
            self._route(parts.path)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _route(self, path: str) -> None:
        routes: tuple[tuple[str, Callable[..., None]], ...] = (
            (r"/v2/", self._greet),
            (r"/v2/_catalog", self._catalog),
            (_NAME + r"/tags/list", self._tags),
            (_NAME + r"/manifests/(?P<reference>[^/]+)", self._manifest),
            (_NAME + r"/blobs/uploads/", self._start_upload),
            (_NAME + r"/blobs/uploads/(?P<upload>[0-9a-f]+)", self._upload),
            (_NAME + r"/blobs/(?P<digest>sha256:[0-9a-f]{64})", self._blob),
        )
        for pattern, answer in routes:
            if match := re.fullmatch(pattern, path):
                answer(**match.groupdict())
                return
        self._read_body()
        self._error(*_NOT_FOUND)

    # ---------------------------------------------------------------- access

    def _is_let_in(self, path: str) -> bool:
        registry = self.server.registry
        if registry.user is None and not registry.tokens:
            return True
        given = self.headers.get("Authorization", "")
        wanted = self._scope(path)
        if registry.tokens:
            token = given.removeprefix("Bearer ")
            allowed = given.startswith("Bearer ") and (not wanted or wanted in _scopes(token))
        else:
            allowed = given == _basic(registry.user)
        if not allowed:
            self._read_body()
            self._challenge(wanted)
        return allowed

    def _scope(self, path: str) -> str:
        if path == "/v2/_catalog":
            return "registry:catalog:*"
        match = re.match(_NAME + r"/(?:blobs|manifests|tags)/", path)
        is_read = self.command in ("GET", "HEAD") and "/uploads/" not in path
        return f"repository:{match['name']}:{'pull' if is_read else 'push'}" if match else ""

    def _challenge(self, scope: str) -> None:
        registry = self.server.registry
        if registry.tokens:
            offer = f'Bearer realm="{self.server.url}/token",service="fake registry"'
            offer += f',scope="{scope}"' if scope else ""
        else:
            offer = 'Basic realm="fake registry"'
        self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": offer})

    def _give_token(self) -> None:
        registry = self.server.registry
        form = parse_qs(self._read_body().decode()) if self.command == "POST" else {}
        known = self.headers.get("Authorization") == _basic(registry.user)
        known = known or (
            registry.user is not None and form.get("refresh_token") == [registry.user[1]]
        )
        if registry.user is not None and not known:
            self._error(401, "UNAUTHORIZED", "incorrect username or password")
            return
        asked = parse_qs(urlsplit(self.path).query).get("scope") or form.get("scope") or []
        scopes = [
            f"{scope.rpartition(':')[0]}:{action}"
            for scope in " ".join(asked).split()
            for action in scope.rpartition(":")[2].split(",")
        ]
        token = base64.urlsafe_b64encode(" ".join(scopes).encode()).decode()
        self._json({"token": token or "none", "expires_in": 300})

    # ---------------------------------------------------------------- pulls

    def _greet(self) -> None:
        self._json({})

    def _catalog(self) -> None:
        with self.server.registry.lock:
            names = sorted(self.server.registry.manifests)
        self._page("repositories", names, {})

    def _tags(self, name: str) -> None:
        with self.server.registry.lock:
            known = self.server.registry.manifests.get(name)
        if known is None:
            self._error(404, "NAME_UNKNOWN", "repository name not known to registry")
            return
        tags = sorted(tag for tag in known if not tag.startswith("sha256:"))
        self._page("tags", tags, {"name": name})

    def _page(self, key: str, names: list[str], more: dict[str, Any]) -> None:
        rest = [name for name in names if name > self._query.get("last", "")]
        page = rest[: int(self._query.get("n", len(rest)) or 0)]
        headers = {}
        if len(page) < len(rest):
            path = urlsplit(self.path).path
            headers["Link"] = f'<{path}?n={len(page)}&last={page[-1]}>; rel="next"'
        self._json({**more, key: page}, headers)

    def _manifest(self, name: str, reference: str) -> None:
        if self.command == "PUT":
            self._put_manifest(name, reference)
            return
        with self.server.registry.lock:
            manifest = self.server.registry.manifests.get(name, {}).get(reference)
        if manifest is None:
            self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        media_type, data = manifest
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)}
        self._answer(200, data, headers)

    def _put_manifest(self, name: str, reference: str) -> None:
        registry, data = self.server.registry, self._read_body()
        document = json.loads(data)
        wanted = [document.get("config"), *document.get("layers", ())]
        with registry.lock:
            known = registry.blobs.get(name, {})
            missing = [blob for blob in wanted if blob and blob["digest"] not in known]
        if missing:
            self._error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
            return
        tag = "" if reference.startswith("sha256:") else reference
        digest = registry.add_manifest(name, tag, self.headers.get("Content-Type", ""), data)
        self._answer(201, b"", {"Docker-Content-Digest": digest})

    def _blob(self, name: str, digest: str) -> None:
        with self.server.registry.lock:
            data = self.server.registry.blobs.get(name, {}).get(digest)
        if data is None:
            self._error(404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None or self.fault.ignore_range:
            self._answer(200, data, headers)
            return
        first = int(asked[1])
        headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._answer(206, data[first:], headers)

    # ---------------------------------------------------------------- pushes

    def _start_upload(self, name: str) -> None:
        registry, digest = self.server.registry, self._query.get("mount", "")
        self._read_body()
        with registry.lock:
            data = registry.blobs.get(self._query.get("from", ""), {}).get(digest)
        if data is not None:
            registry.add_blob(name, data)
            self._answer(201, b"", {"Docker-Content-Digest": digest})
            return
        upload = uuid.uuid4().hex
        with registry.lock:
            registry.uploads[upload] = bytearray()
        self._answer(202, b"", {"Location": f"/v2/{name}/blobs/uploads/{upload}?state=x"})

    def _upload(self, name: str, upload: str) -> None:
        registry = self.server.registry
        with registry.lock:
            kept = registry.uploads.get(upload)
        if kept is None:
            self._read_body()
            self._error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        elif self.command == "DELETE":
            with registry.lock:
                del registry.uploads[upload]
            self._answer(204, b"", {})
        elif self.command == "GET":
            self._answer(204, b"", self._where(name, upload, kept))
        elif not self._is_next(kept):
            self._read_body()
            self._error(416, "RANGE_INVALID", "invalid content range")
        else:
            self._read_body(kept)
            self._continue_upload(name, upload, kept)

    def _is_next(self, kept: bytearray) -> bool:
        given = self.headers.get("Content-Range", "")
        return not given or given.partition("-")[0] == str(len(kept))

    def _continue_upload(self, name: str, upload: str, kept: bytearray) -> None:
        registry = self.server.registry
        if self.command == "PATCH":
            self._answer(202, b"", self._where(name, upload, kept))
            return
        if digest_of(kept) != self._query.get("digest"):
            self._error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            return
        with registry.lock:
            del registry.uploads[upload]
        digest = registry.add_blob(name, bytes(kept))
        self._answer(201, b"", {"Docker-Content-Digest": digest})

    def _where(self, name: str, upload: str, kept: bytearray) -> dict[str, str]:
        return {
            "Location": f"/v2/{name}/blobs/uploads/{upload}?state={len(kept)}",
            "Range": f"0-{max(len(kept) - 1, 0)}",
        }

    # ---------------------------------------------------------------- the wire

    def _read_body(self, kept: bytearray | None = None) -> bytes:
        body = bytearray() if kept is None else kept
        left = self.fault.read_at_most if self.fault.read_at_most >= 0 else 1 << 62
        for piece in self._pieces():
            body += piece[:left]
            left -= len(piece)
            if left <= 0:
                raise _HangUp
        return bytes(body) if kept is None else b""

    def _pieces(self) -> Any:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (piece := self.rfile.read(min(left, 1 << 14))):
            left -= len(piece)
            yield piece

    def _json(self, document: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self._answer(200, data, {"Content-Type": "application/json", **(headers or {})})

    def _error(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self._answer(status, body, {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        fault = self.fault
        if fault.drop_after == 0:
            raise _HangUp
        if 0 <= fault.flip < len(body):
            body = body[: fault.flip] + bytes([body[fault.flip] ^ 0xFF]) + body[fault.flip + 1 :]
        body += fault.surplus
        self.send_response(status)
        if not fault.is_stranger:
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if fault.content_type:
            headers["Content-Type"] = fault.content_type
        for key, value in headers.items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body) + fault.claim))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.stall_after >= 0:
            self.wfile.write(body[: fault.stall_after])
            self._await_hang_up()
        if fault.byte_pause:
            self._write_slowly(body)
            return
        self.wfile.write(body if fault.drop_after < 0 else body[: fault.drop_after])
        if 0 < fault.drop_after < len(body) or fault.claim:
            raise _HangUp

    def _await_hang_up(self) -> None:
        """Say no more and read no more, as long as the client bears it."""
        poll = select.poll()
        poll.register(self.connection, select.POLLRDHUP | select.POLLHUP)
        poll.poll(_LONGEST_SILENCE * 1000)
        raise _HangUp

    def _write_slowly(self, body: bytes) -> None:
        for number in range(len(body)):
            time.sleep(self.fault.byte_pause)
            self.wfile.write(body[number : number + 1])


def _basic(user: tuple[str, str] | None) -> str:
    secret = ":".join(user or ()).encode()
    return f"Basic {base64.b64encode(secret).decode()}" if user else ""


def _scopes(token: str) -> list[str]:
    try:
        return base64.urlsafe_b64decode(token).decode().split()
    except ValueError:
        return []
