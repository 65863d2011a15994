"""A Jupyter server of its own: JupyterLab and Notebook on a free port, with private folders.

Nothing of the user's settings, kernels or notebooks is read or written. The kernel is this
interpreter with this working copy, and its Docker area is a private one.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupyterlab
import nbformat

_START_LIMIT = 90  # seconds until the server answers
_REPOSITORY = Path(__file__).parents[2]
# The installation whose pages and labextensions are served; a venv may borrow it from another.
_SHARE = Path(jupyterlab.__file__).parents[4] / "share" / "jupyter"

# What a user would have to click away, and what detaches cells that are out of sight.
_SETTINGS: dict[str, dict[str, Any]] = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


class JupyterServer:
    """A running server; `folder` holds its notebooks."""

    def __init__(self, home: Path, address: str, token: str, log: Path) -> None:
        self.folder = home / "notebooks"
        self.address = address
        self.token = token
        self.log = log
        self._settings = home / "settings"

    def write(self, name: str, sources: Sequence[str]) -> Path:
        """Saves a new notebook with one code cell for each source."""
        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {
            "name": "python3", "display_name": "Python 3", "language": "python",
        }  # fmt: skip
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        path = self.folder / name
        nbformat.write(notebook, path)
        return path

    def read(self, name: str) -> Any:
        """The notebook as it was saved last."""
        return nbformat.read(self.folder / name, as_version=4)

    def use_theme(self, theme: str) -> None:
        """For pages that are opened from now on: "light" or "dark"."""
        self._set("apputils-extension/themes", {"theme": THEMES[theme]})

    def _set(self, name: str, values: dict[str, Any]) -> None:
        path = self._settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def write_settings(self) -> None:
        for name, values in _SETTINGS.items():
            self._set(name, values)

    def request(self, method: str, path: str) -> Any:
        """The JSON that the server's API answers; None when it answers nothing."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(
            f"{self.address}/api/{path}", method=method, headers=headers
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def interrupt_kernels(self) -> None:
        """As Stop does, when the page cannot be reached."""
        for kernel in self.request("GET", "kernels"):
            self.request("POST", f"kernels/{kernel['id']}/interrupt")

    def shut_down_kernels(self) -> None:
        """Ends all sessions: notebooks that are opened afterwards have a new kernel."""
        for session in self.request("GET", "sessions"):
            self.request("DELETE", f"sessions/{session['id']}")
        for kernel in self.request("GET", "kernels"):
            self.request("DELETE", f"kernels/{kernel['id']}")


@contextmanager
def serve(home: Path, data_root: Path) -> Iterator[JupyterServer]:
    """A server with its files below `home`, ended with its kernels at the end of the block."""
    port, token = _free_port(), secrets.token_hex(16)
    server = JupyterServer(home, f"http://127.0.0.1:{port}", token, home / "server.log")
    server.folder.mkdir(parents=True)
    server.write_settings()
    _write_kernelspec(home / "data")
    _link_labextension(home / "data")
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            _command(server, port),
            cwd=server.folder,
            env=_environment(home, data_root, token),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_answer(server, process)
        yield server
        server.shut_down_kernels()
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(server: JupyterServer, port: int) -> list[str]:
    options = {
        "ServerApp.root_dir": str(server.folder),
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(port),
        "ServerApp.port_retries": "0",
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "LabApp.app_dir": str(_SHARE / "lab"),
        "LabApp.expose_app_in_browser": "True",  # the state of the kernel is read from it
        "JupyterNotebookApp.expose_app_in_browser": "True",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "jupyterlab", "--no-browser", *flags]


def _environment(home: Path, data_root: Path, token: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    for name in ("DOCKMAGIC_RENDER", "DOCKMAGIC_DETERMINISTIC"):
        kept.pop(name, None)
    return {
        **kept,
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_CONFIG_PATH": str(_SHARE.parents[1] / "etc" / "jupyter"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_PATH": str(_SHARE),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_TOKEN": token,
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "DOCKMAGIC_ROOT": str(data_root),
        "PYTHONPATH": os.pathsep.join(map(str, (_REPOSITORY, _REPOSITORY / "runtime"))),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _write_kernelspec(data: Path) -> None:
    folder = data / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))


def _link_labextension(data: Path) -> None:
    """Where an installed wheel puts it: share/jupyter/labextensions."""
    folder = data / "labextensions"
    folder.mkdir(parents=True)
    (folder / "dockmagic").symlink_to(_REPOSITORY / "dockmagic" / "labextension")


def _await_answer(server: JupyterServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while True:
        try:
            server.request("GET", "status")
            return
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no Jupyter server: {server.log.read_text()}") from error
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
