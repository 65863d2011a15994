"""Builds of real software: the course's Dockerfiles, a C program, a Python web application."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import ProcessFailed
from dockmagic_runtime.model.build import BuildDone, BuildRequest, StepOutput
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec
from dockmagic_runtime.model.image import Image

from .conftest import await_page, collect, instructions_done, wait_for

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]


def build(engine: Engine, text: str, context: Path, tag: str, **request: Any) -> Image:
    build_request = BuildRequest(dockerfile=text, context=str(context), tags=(tag,), **request)
    output = bytearray()
    try:
        for event in engine.images.build(build_request):
            if isinstance(event, StepOutput):
                output += event.data
            elif isinstance(event, BuildDone):
                return event.image
    except ProcessFailed as failure:
        pytest.fail(f"{failure}\n{output[-3000:].decode(errors='replace')}")
    raise AssertionError("the build ended without an image")


def cached(engine: Engine, text: str, context: Path) -> list[bool]:
    build_request = BuildRequest(dockerfile=text, context=str(context))
    return [event.cached for event in instructions_done(engine.images.build(build_request))]


def said(engine: Engine, image: str, *command: str) -> str:
    process = engine.containers.run(
        ContainerSpec(image=image, command=command or None, auto_remove=True, open_stdin=True)
    )
    process.close_stdin()
    output = b"".join(data for _, data in process.output()).decode()
    assert process.wait() == 0, output
    return output


def page(engine: Engine, image: str, path: str = "/", *, seconds: float = 20) -> str:
    """What a new container of the image answers, as soon as it does."""
    engine.containers.run(
        ContainerSpec(image=image, name="web", tty=True, open_stdin=True), detach=True
    )
    try:
        return await_page(f"http://{engine.containers.get('web').ip_address}{path}", seconds)
    finally:
        engine.containers.remove("web", force=True)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    (directory / "2021_DEV").mkdir(parents=True)
    (directory / "2021_DEV" / "index.html").write_text("the site of the course")
    return directory


# --- the course --------------------------------------------------------------------------------

SITE = "FROM httpd:alpine\nLABEL maintainer=me\nCOPY ./2021_DEV /usr/local/apache2/htdocs\n"


def test_the_site_answers_until_its_command_is_replaced(
    stocked_engine: Engine, context: Path
) -> None:
    engine = stocked_engine
    build(engine, SITE, context, "myimage")
    assert page(engine, "myimage") == "the site of the course"
    build(engine, f'{SITE}CMD ["/bin/sh"]', context, "with-cmd")
    build(engine, f'{SITE}ENTRYPOINT ["/bin/sh"]', context, "with-entrypoint")
    for image in ("with-cmd", "with-entrypoint"):
        with pytest.raises(OSError, match=r"refused|timed out|reset"):
            page(engine, image, seconds=0.5)


def test_apache_from_packages(stocked_engine: Engine, context: Path) -> None:
    text = (
        "FROM ubuntu:18.04\nLABEL maintainer=me\nRUN apt-get update\n"
        "RUN apt-get install -y apache2 apt-utils\nCOPY ./2021_DEV /var/www/html/\n"
        'ENTRYPOINT ["/usr/sbin/apache2ctl", "-D", "FOREGROUND"]\n'
    )
    build(stocked_engine, text, context, "apache")
    assert page(stocked_engine, "apache") == "the site of the course"
    (context / "2021_DEV" / "index.html").write_text("changed")
    assert cached(stocked_engine, text, context) == [True, True, True, False]


def test_a_time_zone(stocked_engine: Engine, context: Path) -> None:
    text = (
        "FROM ubuntu:18.04\nARG DEBIAN_FRONTEND=noninteractive\nENV TZ=Asia/Seoul\n"
        "RUN apt-get update && apt-get install -y tzdata\n"
    )
    image = build(stocked_engine, text, context, "seoul")
    assert said(stocked_engine, "seoul", "date", "+%Z") == "KST\n"
    assert not any(entry.startswith("DEBIAN_FRONTEND") for entry in image.config.env)


def test_words_after_the_shells_script_are_its_parameters(
    stocked_engine: Engine, context: Path
) -> None:
    build(stocked_engine, 'FROM alpine\nCMD ["/bin/sh", "-c", "echo", "Hello"]', context, "hello")
    assert said(stocked_engine, "hello") == "\n"


def test_a_database_with_its_variables(server_engine: Engine, context: Path) -> None:
    """`Dockerfile_MYSQL`."""
    text = "FROM mysql:5.7\nENV MYSQL_ROOT_PASSWORD=password\nENV MYSQL_DATABASE=dbname\n"
    build(server_engine, text, context, "mysqldb", file_name="Dockerfile_MYSQL")
    server_engine.containers.run(ContainerSpec(image="mysqldb", name="mydb"), detach=True)
    wait_for(server_engine, "mydb", "port: 3306")
    command = ("mysql", "-N", "-h127.0.0.1", "-uroot", "-ppassword", "-e", "SHOW DATABASES")
    asked = collect(server_engine.containers.exec("mydb", ExecSpec(command=command)))
    assert "dbname" in asked.stdout.split()


def test_a_base_alone_and_another_name_of_the_file(stocked_engine: Engine, context: Path) -> None:
    """`docker build --tag test ./`, then `-f test_dockerfile`, then `--pull=true`."""
    image = build(stocked_engine, "FROM alpine", context, "test")
    again = build(stocked_engine, "FROM alpine", context, "test2", file_name="test_dockerfile")
    assert again.id == image.id
    pulled = build(stocked_engine, "FROM alpine", context, "test", pull=True)
    assert said(stocked_engine, pulled.id, "echo", "hello") == "hello\n"


def test_requirements_in_a_working_directory(stocked_engine: Engine, context: Path) -> None:
    (context / "requirements.txt").write_text("flask\n")
    text = (
        "FROM debian\n"
        "RUN apt-get update && apt-get install -y --no-install-recommends python3-pip\n"
        "WORKDIR /home/dev/BACKEND/\nCOPY . .\n"
        "ARG PIP_INDEX_URL PIP_CERT PIP_BREAK_SYSTEM_PACKAGES=1\n"
        "RUN --mount=type=secret,id=ca,target=/ca.crt pip install -r requirements.txt\n"
    )
    build(stocked_engine, text, context, "backend", **_pip())
    assert said(stocked_engine, "backend", "pwd") == "/home/dev/BACKEND\n"
    assert said(stocked_engine, "backend", "flask", "--version").startswith("Python 3")


# --- beyond it ---------------------------------------------------------------------------------


def test_a_program_in_c_leaves_its_compiler_behind(stocked_engine: Engine, context: Path) -> None:
    (context / "hello.c").write_text(
        '#include <stdio.h>\nint main(void) { puts("hello from C"); return 0; }\n'
    )
    text = (
        "FROM debian AS build\n"
        "RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev\n"
        "COPY hello.c /src/\nRUN gcc -static -O2 -o /hello /src/hello.c\n"
        'FROM scratch\nCOPY --from=build /hello /hello\nENTRYPOINT ["/hello"]\n'
    )
    image = build(stocked_engine, text, context, "c")
    assert said(stocked_engine, "c") == "hello from C\n"
    assert [file.path for file in stocked_engine.images.layers(image.id)[0].files] == ["/hello"]


def pip_setting(name: str) -> str:
    """pip's settings on this machine, from files and variables."""
    for section in (":env:.", "global."):
        result = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", section + name],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode == 0:
            return result.stdout.strip()
    return ""


def _pip() -> dict[str, Any]:
    """The build arguments that let pip find what this machine's pip finds."""
    index, certificates = pip_setting("index-url"), pip_setting("cert")
    return {
        "build_args": {
            **({"PIP_INDEX_URL": index} if index else {}),
            **({"PIP_CERT": "/ca.crt"} if certificates else {}),
        },
        "secrets": {"ca": Path(certificates).read_bytes()} if certificates else {},
    }


def test_real_packages_are_installed_the_same_twice(stocked_engine: Engine, context: Path) -> None:
    """With an epoch and without the cache; apt's logs, which hold dates, are not kept."""
    text = (
        "FROM debian\nRUN apt-get update && apt-get install -y --no-install-recommends less && "
        "rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /var/cache/ldconfig/aux-cache\n"
        "RUN mkdir /d && date > /dev/null && touch /d/f /etc/passwd && ln -s f /d/l\n"
        "COPY 2021_DEV /site\nWORKDIR /w\n"
    )
    epoch = {"build_args": {"SOURCE_DATE_EPOCH": "1700000000"}, "no_cache": True}
    first = build(stocked_engine, text, context, "first", **epoch)
    assert build(stocked_engine, text, context, "second", **epoch).id == first.id


def test_a_web_application_with_pip_in_a_cache_mount(stocked_engine: Engine, context: Path) -> None:
    (context / "requirements.txt").write_text("flask\n")
    (context / "app.py").write_text(
        "from flask import Flask\napp = Flask(__name__)\n"
        "@app.get('/')\ndef hello():\n    return 'hello from Flask'\n"
        "app.run('0.0.0.0', 80)\n"
    )
    text = (
        "FROM debian\n"
        "RUN apt-get update && apt-get install -y --no-install-recommends python3-pip\n"
        "WORKDIR /home/dev/BACKEND/\nCOPY requirements.txt ./\nARG PIP_INDEX_URL PIP_CERT\n"
        "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=ca,target=/ca.crt "
        "pip install --break-system-packages -r requirements.txt\n"
        'COPY app.py ./\nCMD ["python3", "app.py"]\n'
    )
    image = build(stocked_engine, text, context, "flask-app", **_pip())
    assert page(stocked_engine, "flask-app") == "hello from Flask"
    files = [file.path for layer in stocked_engine.images.layers(image.id) for file in layer.files]
    assert not any(path.startswith("/root/.cache/pip/") or path == "/ca.crt" for path in files)
