"""Every line of the course in a notebook's shell, on the real engine, in the course's order.

`ubuntu` is a name of busybox and `httpd:alpine` one of httpd here: what the lines do is tested, and
`tests/integration` has the images. Ports are free ones of this machine.
"""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dockmagic.magics.streams import Streams

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]
Do = Callable[[str], Any]

FORMS = {
    "shell in place of the server": 'CMD ["/bin/sh"]',
    "shell as the entry point": 'ENTRYPOINT ["/bin/sh"]',
    "a command of several words": 'CMD ["/bin/sh", "-c", "echo", "Hello"]',
}


@pytest.fixture
def engine(stocked_engine: Any) -> Any:
    """In place of the fake one: `session`, `shell` and `run` take what this gives."""
    stocked_engine.images.tag("busybox", "ubuntu")
    stocked_engine.images.tag("busybox", "ubuntu:20.10")
    stocked_engine.images.tag("httpd", "httpd:alpine")
    yield stocked_engine
    for container in stocked_engine.containers.list(all=True):
        stocked_engine.containers.remove(container.id, force=True, volumes=True)


@pytest.fixture
def do(run: Any, tmp_path: Path) -> Do:
    """Runs a cell that must work, in a folder with the course's files."""
    for folder in ("HOSTDIR", "2021_DEV"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "index.html").write_text(f"<h1>{folder}</h1>")
        (tmp_path / folder).chmod(0o755)

    def do(cell: str) -> Any:
        ran = run(cell)
        assert ran.error is None, f"{cell}: {ran.error}\n{ran.stderr}"
        return ran

    return do


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def page(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/", timeout=10) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def await_server(engine: Any, name: str) -> None:
    lines = engine.containers.logs(name, follow=True)
    assert any(b"resuming normal operations" in line.text for line in lines)


def test_images(run: Any, do: Do, engine: Any) -> None:
    assert "Cannot perform an interactive login" in run("%docker login").traceback[0]
    for line in ("search httpd", "search --limit=5 httpd", "search httpd --limit=5"):
        assert "httpd" in str(do(f"%docker {line}").value)
    assert "ubuntu" in str(do("%docker images").value)
    assert str(do("%docker images").value) == str(do("%docker image ls").value)
    ids = str(do("%docker images -q").value).split()
    assert ids == str(do("%docker image ls -q").value).split()
    do("%docker rmi ubuntu:20.10")
    do("%docker image rm ubuntu")
    do("%docker rmi $(docker images -q) -f")
    assert engine.images.list() == ()


def test_containers(do: Do, engine: Any) -> None:
    do("%docker create ubuntu\n%docker create --name myubuntu ubuntu")
    assert str(do("%docker ps").value).count("\n") == 0
    assert str(do("%docker ps -a").value).count("\n") == 2
    assert len(str(do("%docker ps -a -q").value).split()) == 2
    do("%docker start myubuntu\n%docker rm -f myubuntu")
    for line in ("-it ubuntu", "-it --name myubuntu ubuntu", "-it --rm --name myubuntu2 ubuntu"):
        do(f"%docker run {line}")
    do("%docker run -it -d --name myubuntu3 ubuntu")
    do("%docker pause myubuntu3")
    assert engine.containers.get("myubuntu3").status == "paused"
    do("%docker unpause myubuntu3")
    do("%docker attach myubuntu3")
    assert engine.containers.get("myubuntu3").status == "running"
    do("%docker kill myubuntu3\n%docker rm myubuntu3")


def test_a_web_server(
    run: Any, do: Do, engine: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Streams.write

    def interrupted(streams: Any, stream: str, data: bytes, **more: Any) -> None:
        write(streams, stream, data, **more)
        if b"resuming normal operations" in data:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Streams, "write", interrupted)
        for line in ("httpd", "-v ./HOSTDIR:/usr/local/apache2/htdocs httpd"):
            cell = run(f"%docker run {line}")
            assert isinstance(cell.error, KeyboardInterrupt)
            assert "resuming normal operations" in cell.stderr + cell.stdout
    do("%docker run -d --name apacheweb httpd")
    do(f"%docker run -d -p {port}:80 --name apacheweb2 httpd")
    await_server(engine, "apacheweb2")
    assert "It works!" in page(port)
    do("%docker rm -f apacheweb2")
    volume = "./HOSTDIR:/usr/local/apache2/htdocs"
    do(f"%docker run -d -p {port}:80 -v {volume} --name apacheweb2 httpd")
    await_server(engine, "apacheweb2")
    assert page(port) == "<h1>HOSTDIR</h1>"
    do("%docker rm -f apacheweb2")
    do(
        f'%docker run -d -p {port}:80 -v "$PWD/HOSTDIR":/usr/local/apache2/htdocs '
        "--name apacheweb2 httpd:alpine"
    )
    await_server(engine, "apacheweb2")
    assert page(port) == "<h1>HOSTDIR</h1>"
    assert "Images" in str(do("%docker system df").value)
    assert "apacheweb2" in str(do("%docker container stats").value)
    do("%docker exec -it apacheweb /bin/sh")
    do("%docker run -dit --name myubuntu ubuntu")
    do("%docker attach myubuntu")
    do("%docker stop $(docker ps -a -q)")
    assert engine.containers.list() == ()
    do("%docker rm $(docker ps -a -q)")
    assert engine.containers.list(all=True) == ()


def test_pruning(run: Any, engine: Any, monkeypatch: pytest.MonkeyPatch, do: Do) -> None:
    monkeypatch.setattr("dockmagic.commands.ask.can_ask", lambda: True)
    monkeypatch.setattr("dockmagic.magics.questions.input", lambda _: "y", raising=False)
    do("%docker create --name old ubuntu")
    assert "Deleted Containers:" in str(do("%docker container prune").value)
    do("%docker image prune")
    do("%docker create --name old ubuntu")
    assert "Total reclaimed space" in str(do("%docker system prune").value)
    assert engine.containers.list(all=True) == ()
    do("%docker rmi -f $(docker images -q)")


def test_dockerfiles(do: Do, engine: Any, port: int, tmp_path: Path) -> None:
    site = (
        "FROM httpd:alpine\nLABEL maintainer=me\n"
        "COPY ./2021_DEV /usr/local/apache2/htdocs\n"
    )  # fmt: skip
    (tmp_path / "Dockerfile").write_text(site)
    do("%docker build --tag test ./")
    do("%%docker\ncp Dockerfile test_dockerfile\n"
       "docker build --tag test2_image -f test_dockerfile .")  # fmt: skip
    do("%docker build --tag myimage .")
    do(f"%docker run -dit -p {port}:80 --name myweb2 --rm myimage")
    await_server(engine, "myweb2")
    assert page(port) == "<h1>2021_DEV</h1>"
    do("%docker stop myweb2")
    do(f"%docker run -dit -p {port}:80 --name myweb2 --rm myimage /bin/sh -c httpd-foreground")
    await_server(engine, "myweb2")
    assert page(port) == "<h1>2021_DEV</h1>"
    do("%docker kill myweb2")
    for number, form in enumerate(FORMS.values()):
        do(f"%%dockerfile -t myweb{number}\n{site}{form}\n")
        do(f"%docker run -dit -p {port}:80 --name httpdweb{number} myweb{number}")
        assert page(port) == ""
        do(f"%docker logs httpdweb{number}")
        do(f"%docker rm -f httpdweb{number}")


def test_investigating(do: Do, engine: Any, tmp_path: Path) -> None:
    do("%docker run -d --name web httpd")
    await_server(engine, "web")
    do("%docker history httpd")
    do("%docker cp web:/usr/local/apache2/conf/httpd.conf ./")
    assert "ServerRoot" in (tmp_path / "httpd.conf").read_text()
    do("%docker cp ./httpd.conf web:/usr/local/apache2/conf/httpd.conf")
    do('%docker commit -m "add vim" web newimage')
    assert "add vim" in str(do("%docker history newimage").value)
    assert "C /usr/local/apache2/conf" in str(do("%docker diff web").value)
    do("%docker rm -f web")


def test_the_link_exercise(do: Do, engine: Any, port: int, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile_MYSQL").write_text(
        "FROM ubuntu\nENV MYSQL_ROOT_PASSWORD=password\nENV MYSQL_DATABASE=dbname\n"
        'CMD ["sleep", "1000"]\n'
    )
    do("%docker build --tag mysqldb -f Dockerfile_MYSQL .")
    do(f"%docker run -d -p {port}:3306 --name mydb -v ./DATADIR:/var/lib/mysql mysqldb")
    cell = do(
        "%docker run --rm -v ./HOSTDIR:/home/jovyan/work --link mydb:myupyterdb ubuntu "
        "sh -c 'cat /etc/hosts; env; ls /home/jovyan/work'"
    )
    assert "myupyterdb" in cell.stdout
    assert "MYUPYTERDB_ENV_MYSQL_DATABASE=dbname" in cell.stdout
    assert "index.html" in cell.stdout
    do("%docker rm -f mydb")
