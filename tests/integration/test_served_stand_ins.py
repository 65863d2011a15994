"""The contracts of the stand-ins that serve: registry and the notebook server."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount
from dockmagic_runtime.store.area import Area

from .conftest import collect

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]
_SECONDS = 90
NOTEBOOK = "jupyter/datascience-notebook"


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(Area.at(tmp_path_factory.mktemp("served")).root, catalogue="always") as engine:
        yield engine
        engine.uninstall()


@pytest.fixture
def engine(stocked: Engine) -> Iterator[Engine]:
    yield stocked
    for container in stocked.containers(all=True):
        stocked.remove(container.id, force=True, volumes=True)


def pull(engine: Engine, name: str) -> None:
    for _ in engine.pull(name):
        pass


def log(engine: Engine, name: str) -> str:
    return b"".join(line.text for line in engine.logs(name)).decode(errors="replace")


def wait_for(engine: Engine, name: str, pattern: str) -> re.Match[str]:
    deadline = time.monotonic() + _SECONDS
    while (match := re.search(pattern, log(engine, name))) is None:
        assert engine.container(name).status.is_alive, log(engine, name)
        assert time.monotonic() < deadline, log(engine, name)
        time.sleep(0.1)
    return match


def fetch(url: str, data: bytes | None = None, method: str = "GET") -> Any:
    request = urllib.request.Request(url, data=data, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def test_a_registry_is_pushed_to_and_pulled_from(engine: Engine) -> None:
    pull(engine, "registry:2")
    pull(engine, "busybox")
    image = engine.image("registry:2")
    assert image.config.exposed_ports == ("5000/tcp",)
    assert image.config.volumes == ("/var/lib/registry",)
    mounts = (Mount(kind="volume", source="kept", target="/var/lib/registry"),)
    spec = ContainerSpec(image="registry:2", name="hub", mounts=mounts, network="host")
    engine.run_detached(spec)
    wait_for(engine, "hub", r"listening on \[::\]:5000")
    name = "localhost:5000/team/bb:1"
    engine.tag("busybox", name)
    list(engine.push(name))
    pushed = engine.image(name).id
    engine.remove_image(name)
    pull(engine, name)
    assert engine.image(name).id == pushed
    assert [one.name for one in engine.search("localhost:5000/")] == ["localhost:5000/team/bb"]
    assert json.loads(engine.manifest(name))["config"]["digest"] == pushed
    engine.remove("hub", force=True)
    engine.remove_volume("kept")


def test_a_notebook_server_with_its_libraries(engine: Engine) -> None:
    pull(engine, NOTEBOOK)
    config = engine.image(NOTEBOOK).config
    assert config.exposed_ports == ("8888/tcp",)
    assert (config.user, config.working_dir) == ("jovyan", "/home/jovyan")
    engine.run_detached(ContainerSpec(image=NOTEBOOK, name="lab"))
    token = wait_for(engine, "lab", r"http://127\.0\.0\.1:8888/lab\?token=([0-9a-f]{48})")[1]
    url = f"http://{engine.container('lab').ip_address}:8888/api"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(f"{url}/kernels")
    kernel = fetch(f"{url}/kernels?token={token}", b'{"name": "python3"}', "POST")
    assert kernel["name"] == "python3"
    fetch(f"{url}/kernels/{kernel['id']}?token={token}", method="DELETE")

    script = (
        "import os, pandas, matplotlib, pymysql, sqlalchemy, ipywidgets\n"
        "open('work/made', 'w').close()\n"
        "print(os.getuid(), os.getgid(), os.getcwd(), pandas.DataFrame({'a': [1, 2]}).a.sum())"
    )
    ended = collect(engine.exec("lab", ExecSpec(command=("python", "-c", script))))
    assert ended.stdout == "1000 100 /home/jovyan 3\n", ended.stderr


def test_a_notebook_server_takes_its_token_and_its_options(engine: Engine) -> None:
    pull(engine, NOTEBOOK)
    command = ("start-notebook.sh", "--ServerApp.base_url=/x/")
    spec = ContainerSpec(image=NOTEBOOK, name="lab", command=command, env=("JUPYTER_TOKEN=open",))
    engine.run_detached(spec)
    wait_for(engine, "lab", r"http://127\.0\.0\.1:8888/x/lab")
    address = engine.container("lab").ip_address
    assert fetch(f"http://{address}:8888/x/api/kernels?token=open") == []
