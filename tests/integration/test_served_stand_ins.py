"""The contracts of the stand-ins that serve: registry and the notebook server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount

from .conftest import collect, wait_for

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]
NOTEBOOK = "jupyter/datascience-notebook"


@pytest.fixture
def engine(server_engine: Engine) -> Engine:
    return server_engine


def fetch(url: str, data: bytes | None = None, method: str = "GET") -> Any:
    request = urllib.request.Request(url, data=data, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def test_a_registry_is_pushed_to_and_pulled_from(engine: Engine) -> None:
    image = engine.images.get("registry:2")
    assert image.config.exposed_ports == ("5000/tcp",)
    assert image.config.volumes == ("/var/lib/registry",)
    mounts = (Mount(kind="volume", source="kept", target="/var/lib/registry"),)
    spec = ContainerSpec(image="registry:2", name="hub", mounts=mounts, network="host")
    engine.containers.run(spec, detach=True)
    wait_for(engine, "hub", r"listening on \[::\]:5000")
    name = "localhost:5000/team/bb:1"
    engine.images.tag("busybox", name)
    list(engine.images.push(name))
    pushed = engine.images.get(name).id
    engine.images.remove(name)
    list(engine.images.pull(name))
    assert engine.images.get(name).id == pushed
    assert [result.name for result in engine.images.search("localhost:5000/")] == [
        "localhost:5000/team/bb"
    ]
    assert json.loads(engine.images.manifest(name))["config"]["digest"] == pushed
    engine.containers.remove("hub", force=True)
    engine.volumes.remove("kept")


def test_a_notebook_server_with_its_libraries(engine: Engine) -> None:
    config = engine.images.get(NOTEBOOK).config
    assert config.exposed_ports == ("8888/tcp",)
    assert (config.user, config.working_dir) == ("jovyan", "/home/jovyan")
    engine.containers.run(ContainerSpec(image=NOTEBOOK, name="lab"), detach=True)
    token = wait_for(engine, "lab", r"http://127\.0\.0\.1:8888/lab\?token=([0-9a-f]{48})")[1]
    url = f"http://{engine.containers.get('lab').ip_address}:8888/api"
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
    ended = collect(engine.containers.exec("lab", ExecSpec(command=("python", "-c", script))))
    assert ended.stdout == "1000 100 /home/jovyan 3\n", ended.stderr


def test_a_notebook_server_takes_its_token_and_its_options(engine: Engine) -> None:
    command = ("start-notebook.sh", "--ServerApp.base_url=/x/")
    spec = ContainerSpec(image=NOTEBOOK, name="lab", command=command, env=("JUPYTER_TOKEN=open",))
    engine.containers.run(spec, detach=True)
    wait_for(engine, "lab", r"http://127\.0\.0\.1:8888/x/lab")
    address = engine.containers.get("lab").ip_address
    assert fetch(f"http://{address}:8888/x/api/kernels?token=open") == []


def said(engine: Engine, command: str, *env: str, **options: Any) -> str:
    """What a shell command writes when it is given to the image's start.sh."""
    spec = ContainerSpec(
        image=NOTEBOOK, command=("start.sh", "sh", "-c", command), env=env, **options
    )
    ended = collect(engine.containers.run(spec))
    assert ended.code == 0, ended.stderr
    return ended.stdout


WHO = "echo $(id -un):$(id -u):$(id -g) $PWD $HOME $(umask)"


def test_the_notebook_s_user_is_as_the_variables_say(engine: Engine) -> None:
    assert said(engine, WHO) == "jovyan:1000:100 /home/jovyan /home/jovyan 0022\n"
    assert said(engine, WHO, user="root") == "jovyan:1000:100 /home/jovyan /home/jovyan 0022\n"
    variables = ("NB_USER=ada", "NB_UID=1234", "NB_GID=200", "NB_UMASK=002")
    shown = said(engine, WHO, *variables, user="root")
    assert shown == "ada:1234:200 /home/ada /home/ada 0002\n"
    assert said(engine, "touch x && stat -c %U x; jupyter --version | head -1", *variables,
                user="root").splitlines()[0] == "ada"  # fmt: skip


def test_the_notebook_s_user_may_be_root_only_if_that_is_granted(engine: Engine) -> None:
    assert said(engine, "sudo -n id -u", "GRANT_SUDO=yes", user="root") == "0\n"
    assert said(engine, "sudo -n id -u 2>/dev/null || echo no", user="root") == "no\n"


def test_a_folder_is_given_to_the_notebook_s_user(engine: Engine, tmp_path: Path) -> None:
    mounts = (Mount(kind="bind", source=str(tmp_path), target="/home/jovyan/work"),)
    write = "touch work/made 2>/dev/null && echo done || echo refused"
    assert said(engine, write, mounts=mounts) == "refused\n"
    options = ("CHOWN_EXTRA=/home/jovyan/work", "CHOWN_EXTRA_OPTS=-R")
    assert said(engine, write, *options, user="root", mounts=mounts) == "done\n"
    assert (tmp_path / "made").stat().st_uid == 1000


def test_what_only_root_can_do_is_said(engine: Engine) -> None:
    spec = ContainerSpec(image=NOTEBOOK, command=("start.sh", "true"), env=("NB_UID=7",))
    ended = collect(engine.containers.run(spec))
    assert (ended.code, ended.stderr) == (
        0,
        "start.sh: NB_UID=7 needs a container that starts as root\n",
    )


def test_what_the_stand_in_does_not_know_is_said(engine: Engine) -> None:
    command = ("start-notebook.sh", "--version")
    spec = ContainerSpec(image=NOTEBOOK, command=command, env=("GEN_CERT=yes", "RESTARTABLE=no"))
    ended = collect(engine.containers.run(spec))
    assert ended.code == 0
    assert ended.stderr.splitlines()[:2] == [
        "start-notebook.sh: this stand-in does not know GEN_CERT",
        "start-notebook.sh: this stand-in does not know RESTARTABLE",
    ]
