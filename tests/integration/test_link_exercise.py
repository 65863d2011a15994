"""The course's link exercise, line by line, in a terminal: a database, and a Jupyter that asks it.

The notebook that teaches it is run by nbval; here are what it leaves behind and its mistakes.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import wait_for

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]
Docker = Callable[..., "subprocess.CompletedProcess[str]"]

QUERY = """
import pandas, sqlalchemy
database = sqlalchemy.create_engine("mysql+pymysql://root:password@myupyterdb/dbname")
print(pandas.read_sql("SELECT * FROM planets ORDER BY moons", database).to_csv(index=False), end="")
"""


@pytest.fixture
def docker(server_engine: Engine, tmp_path: Path) -> Iterator[Docker]:
    """`dockmagic` in a terminal, in a folder with the exercise's files."""
    data_root = server_engine.data_root
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(data_root.root)}
    (tmp_path / "Dockerfile_MYSQL").write_text(
        "FROM mysql:5.7\nENV MYSQL_ROOT_PASSWORD=password\nENV MYSQL_DATABASE=dbname\n"
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "work").chmod(0o777)
    before = HostSnapshot.take(data_root)

    def docker(
        *words: str, stdin: str = "", fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "dockmagic", *words],
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert bool(ended.returncode) is fails, ended.stdout + ended.stderr
        return ended

    yield docker
    for container in server_engine.containers.list(all=True):
        server_engine.containers.remove(container.id, force=True, volumes=True)
    server_engine.system.dismantle()
    assert not left_behind(before, data_root)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Jupyter:
    """What a browser does with a Jupyter server."""

    def __init__(self, port: int, token: str) -> None:
        self._server = f"localhost:{port}/api"
        self._token = token

    def ask(self, path: str, data: object = None, *, token: str | None = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"http://{self._server}/{path}", data=body)
        request.add_header("Authorization", f"token {self._token if token is None else token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)

    def execute(self, code: str) -> str:
        """What `code` prints in a kernel of its own. An error in it is one here."""
        kernel = self.ask("kernels", {"name": "python3"})["id"]
        url = f"ws://{self._server}/kernels/{kernel}/channels?token={self._token}"
        channel = websocket.create_connection(url, timeout=60, http_no_proxy=["*"])
        try:
            return self._execute(channel, code)
        finally:
            channel.close()

    def _execute(self, channel: Any, code: str) -> str:
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "test",
            "username": "",
            "version": "5.3",
        }
        request = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell"}
        channel.send(json.dumps({**request, "content": {"code": code, "silent": False}}))
        said = ""
        while True:
            message = json.loads(channel.recv())
            if message["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            content = message["content"]
            assert message["msg_type"] != "error", content
            if message["msg_type"] == "stream":
                said += content["text"]
            elif content.get("execution_state") == "idle":
                return said


@pytest.fixture
def database(docker: Docker, server_engine: Engine) -> int:
    """`mydb`, with a table in it; its port."""
    port = free_port()
    docker("build", "--tag", "mysqldb", "-f", "Dockerfile_MYSQL", ".")
    run_database(docker, server_engine, port)
    table = "CREATE TABLE planets (name TEXT, moons INT);"
    rows = "INSERT INTO planets VALUES ('Mars', 2), ('Earth', 1);"
    docker("exec", "-i", "mydb", "mysql", "-uroot", "-ppassword", "dbname", stdin=table + rows)
    return port


def run_database(docker: Docker, engine: Engine, port: int) -> None:
    docker(
        "run", "-d", "-p", f"{port}:3306", "--name", "mydb", "-v", "./data:/var/lib/mysql",
        "mysqldb",
    )  # fmt: skip
    wait_for(engine, "mydb", "port: 3306")


def run_jupyter(docker: Docker, engine: Engine) -> Jupyter:
    port = free_port()
    docker(
        "run", "--rm", "-d", "-p", f"{port}:8888", "-v", "./work:/home/jovyan/work",
        "--link", "mydb:myupyterdb", "--name", "lab", "jupyter/datascience-notebook",
    )  # fmt: skip
    token = wait_for(engine, "lab", r"127\.0\.0\.1:8888/lab\?token=([0-9a-f]+)")[1]
    return Jupyter(port, token)


def test_pandas_in_a_linked_jupyter_reads_the_database(
    docker: Docker, database: int, server_engine: Engine, tmp_path: Path
) -> None:
    jupyter = run_jupyter(docker, server_engine)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        jupyter.ask("kernels", token="wrong")
    assert jupyter.execute(QUERY) == "name,moons\nEarth,1\nMars,2\n"
    jupyter.execute("open('work/made', 'w').write('here')")
    assert (tmp_path / "work/made").read_text() == "here"
    docker("stop", "lab")
    assert [container.name for container in server_engine.containers.list(all=True)] == ["mydb"]

    docker("stop", "mydb")
    stopped = server_engine.containers.get("mydb")
    assert (stopped.status, stopped.exit_code) == (Status.EXITED, 0)
    docker("rm", "mydb")
    run_database(docker, server_engine, database)
    assert "Initializing" not in docker("logs", "mydb").stderr
    assert run_jupyter(docker, server_engine).execute(QUERY) == "name,moons\nEarth,1\nMars,2\n"
    assert f":{database}->3306/tcp" in docker("ps").stdout


def test_mistakes_of_the_exercise_are_reported_in_one_line(docker: Docker, database: int) -> None:
    lab = ("run", "--rm", "-d", "jupyter/datascience-notebook")
    mistakes = {
        ("run", "-d", "--name", "mydb", "mysqldb"): 'The container name "/mydb" is already in use',
        ("run", "-d", "-p", f"{database}:3306", "mysqldb"): f"0.0.0.0:{database}",
        (*lab[:3], "--link", "nodb:myupyterdb", lab[3]): "nodb",
        ("build", "--tag", "mysqldb", "-f", "Dockerfile_MYSLQ", "."): "Dockerfile_MYSLQ",
        ("rmi", "mysqldb"): "mysqldb",
    }
    for words, part in mistakes.items():
        ended = docker(*words, fails=True)
        assert part in ended.stderr
        assert "Traceback" not in ended.stderr
        assert len(ended.stderr.strip().splitlines()) <= 3
    without = docker("run", "--rm", "mysql:5.7", fails=True)
    assert re.search("You need to specify one of MYSQL_ROOT_PASSWORD", without.stderr)
    assert docker("ps", "-a", "--format", "{{.Names}}").stdout.splitlines()[-1] == "mydb"
