"""Docker's own Compose, where it is installed, on the Engine API of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dockmagic.commands.system.compose import compose_program
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import NotFound

try:
    PROGRAM = compose_program()
except NotFound:
    PROGRAM = ""

pytestmark = [
    pytest.mark.root,
    pytest.mark.network,
    pytest.mark.skipif(not PROGRAM, reason="optional: Compose is not installed"),
]
_FILE = """
services:
  web:
    image: busybox
    command: sh -c "echo started; httpd -f -h /srv"
    ports: ["127.0.0.1::80"]
    volumes: ["data:/srv", "./conf:/conf:ro"]
    env_file: web.env
    secrets: [key]
    healthcheck: {test: ["CMD", "test", "-e", "/conf/ready"], interval: 0.5s}
    networks: [front]
  db:
    image: busybox
    command: sh -c "echo db; sleep 1000"
    networks: {front: {aliases: [database]}}
    depends_on: {web: {condition: service_healthy}}
  built:
    build: ./built
    profiles: [extra]
volumes: {data: {}}
networks: {front: {}}
secrets: {key: {file: ./key}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    for name, text in {
        "compose.yaml": _FILE, "web.env": "A=1\n", "key": "secret\n", "conf/ready": "",
        "built/Dockerfile": 'FROM busybox\nCMD ["echo", "was built"]\n',
    }.items():  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def test_the_life_of_a_project(project: Path, address: str, engine: Engine) -> None:
    environ = {**os.environ, "DOCKER_HOST": address, "DOCKER_BUILDKIT": "0", "HOME": str(project)}

    def compose(*words: str, code: int = 0) -> str:
        ran = subprocess.run(
            [PROGRAM, *words], env=environ, cwd=project,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == code, ran
        return ran.stdout + ran.stderr

    compose("up", "-d")
    assert "(healthy)" in compose("ps")
    assert "started" in compose("logs", "web")
    assert "1 packets received" in compose("exec", "-T", "web", "ping", "-c", "1", "database")
    assert "1" in compose("exec", "-T", "web", "sh", "-c", "echo $A; cat /run/secrets/key")
    assert "127.0.0.1:" in compose("port", "web", "80")
    assert "httpd" in compose("top", "web")
    compose("restart", "web")
    compose("stop", "db")
    compose("start", "db")
    compose("up", "-d", "--scale", "db=3")
    assert len(engine.containers.list(filters={"label": ["com.docker.compose.service=db"]})) == 3
    assert "one-off" in compose("run", "--rm", "db", "echo", "one-off")
    compose("exec", "-T", "web", "sh", "-c", "exit 7", code=7)
    compose("--profile", "extra", "build")
    assert "was built" in compose("--profile", "extra", "up", "built")
    compose("--profile", "extra", "down", "-v", "--rmi", "local")
    assert engine.containers.list(all=True) == ()
    assert engine.volumes.list() == ()
    assert {network.name for network in engine.networks.list()} == {"bridge", "host", "none"}
