"""Records what Docker's client prints for templates: `python record_templates.py docker`.

The client executes templates itself, on what a daemon answers. A small server gives it the objects
below, so that no daemon is needed. The templates are those of `data/go_templates.json`, which is
written anew with the answers: add `{"template": "…"}` there for one more.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "go_templates.json"
ID = "7" * 64
CONTAINER: dict[str, Any] = {
    "Id": ID, "Created": "2026-01-01T00:00:00Z", "Path": "sleep", "Args": ["300", "<x>"],
    "State": {
        "Status": "running", "Running": True, "Paused": False, "Restarting": False,
        "OOMKilled": False, "Dead": False, "Pid": 42, "ExitCode": 0, "Error": "",
        "StartedAt": "2026-01-01T00:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z",
    },
    "Name": "/web", "RestartCount": 0,
    "HostConfig": {
        "Binds": ["vol:/data"], "Tmpfs": None, "NetworkMode": "bridge", "Memory": 1 << 40,
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "18085"}], "9/udp": None},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "Init": None, "PidsLimit": 7,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "b": "2"}},
    },
    "Mounts": [{"Type": "volume", "Name": "vol", "Source": "/v", "Destination": "/data",
                "Driver": "local", "Mode": "z", "RW": True, "Propagation": ""}],
    "Config": {
        "Env": ["X=1", "Y=ü"], "Cmd": ["sleep", "300"], "Entrypoint": None, "Volumes": None,
        "Labels": {"b": "2", "a": "1", "c.d": "x<y"}, "Image": "busybox", "Tty": False,
    },
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "18085"}]},
        "Networks": {"bridge": {"IPAddress": "172.17.0.2", "Gateway": "172.17.0.1",
                                "Aliases": None, "IPPrefixLen": 16}},
    },
}  # fmt: skip
VOLUME: dict[str, Any] = {
    "CreatedAt": "2026-01-01T00:00:00Z", "Driver": "local", "Labels": {"b": "2", "a": "1"},
    "Mountpoint": "/v/_data", "Name": "vol", "Options": None, "Scope": "local",
    "UsageData": {"RefCount": 1, "Size": 5},
}  # fmt: skip
ROW: dict[str, Any] = {
    "Id": ID, "Names": ["/web"], "Image": "busybox", "ImageID": "sha256:" + "3" * 64,
    "Command": "sleep 300", "Created": 1700000000, "Labels": {"a": "b", "c.d": "x"},
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 18085, "Type": "tcp"}],
    "State": "running", "Status": "Up 2 minutes", "Mounts": [],
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "/_ping": "OK",
    "/containers/web/json": CONTAINER,
    "/volumes/vol": VOLUME,
    "/containers/json": [ROW],
}
COMMANDS = {
    "container": ["container", "inspect", "web", "-f"],
    "volume": ["volume", "inspect", "vol", "-f"],
    "row": ["ps", "--format"],
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        """No log."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        answer = ANSWERS.get(re.sub(r"^/v[0-9.]+|\?.*", "", self.path))
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Api-Version", "1.50")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def main(docker: str) -> None:
    version = subprocess.run([docker, "--version"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "api.sock")
        server = socketserver.ThreadingUnixStreamServer(path, Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answers = {
            kind: [ask(docker, path, kind, case["template"]) for case in cases]
            for kind, cases in json.loads(DATA.read_text())["answers"].items()
        }
        server.shutdown()
    recorded = {
        "client": version.stdout.strip(),
        "objects": {"container": CONTAINER, "volume": VOLUME},
        "answers": answers,
    }
    DATA.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")


def ask(docker: str, path: str, kind: str, template: str) -> dict[str, Any]:
    result = subprocess.run(
        [docker, "-H", f"unix://{path}", *COMMANDS[kind], template], capture_output=True, text=True,
        check=False, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    return {
        "template": template, "code": result.returncode, "out": result.stdout, "err": result.stderr,
    }  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
