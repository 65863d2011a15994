"""Further clients of Docker's API, each where it is installed: skopeo, testcontainers, curl."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="optional: skopeo is not installed")
def test_skopeo_copies_out_of_and_into_the_engine(
    engine: Engine, address: str, tmp_path: Path
) -> None:
    def copy(*words: str) -> None:
        subprocess.run(["skopeo", "copy", *words], check=True, capture_output=True, timeout=60)

    copy("--src-daemon-host", address, "docker-daemon:busybox:latest", f"dir:{tmp_path}/image")
    manifest = json.loads((tmp_path / "image/manifest.json").read_text())
    assert manifest["config"]["digest"] == engine.images.get("busybox").id
    copy("--dest-daemon-host", address, f"dir:{tmp_path}/image", "docker-daemon:copied:1")
    assert engine.images.get("copied:1").id == engine.images.get("busybox").id
    engine.images.remove("copied:1")


def test_testcontainers_waits_for_a_line_and_executes(
    engine: Engine, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = pytest.importorskip(
        "testcontainers.core.container", reason="optional: testcontainers is not installed"
    )
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    command = "sh -c 'echo ready; httpd -f -h /etc'"
    with container.DockerContainer("busybox").with_command(command).with_exposed_ports(80) as box:
        assert box.exec("cat /etc/hostname").exit_code == 0
        assert int(box.get_exposed_port(80)) > 0
        assert len(engine.containers.list()) == 1
    assert engine.containers.list(all=True) == ()


@pytest.mark.skipif(shutil.which("curl") is None, reason="optional: curl is not installed")
def test_curl_asks_as_the_course_does(engine: Engine, address: str) -> None:
    engine.containers.run("busybox", ["sleep", "1000"], name="box", detach=True)
    socket = address.removeprefix("unix://")
    answer = subprocess.run(
        ["curl", "-s", "--unix-socket", socket, "http://localhost/containers/json"],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    assert json.loads(answer.stdout)[0]["Names"] == ["/box"]
