"""Logs of containers that run."""

from __future__ import annotations

import gzip
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.output.result import Result
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.container import ContainerSpec, LogLine, Status

from .conftest import Build
from .waiting import eventually

pytestmark = pytest.mark.root


def detached(engine: Engine, script: str, **spec: Any) -> str:
    container = engine.containers.run(
        ContainerSpec(image="busybox", command=("sh", "-c", script), network="none", **spec),
        detach=True,
    )
    return container.id


def text(lines: list[LogLine]) -> str:
    return b"".join(line.text for line in lines).decode()


def test_streams_escapes_and_an_unfinished_line_come_back(engine: Engine) -> None:
    name = detached(engine, r"""printf 'a "b" \\ \t\033[1mü\r\n'; echo no >&2; printf end""")
    engine.containers.wait(name)
    lines = [(line.stream, line.text) for line in engine.containers.logs(name)]
    assert sorted(lines) == [
        ("stderr", b"no\n"),
        ("stdout", 'a "b" \\ \t\x1b[1mü\r\n'.encode()),
        ("stdout", b"end"),
    ]


def test_a_line_of_a_megabyte_is_one_line(engine: Engine) -> None:
    name = detached(engine, "head -c 300000 /dev/zero | tr '\\0' x; echo; echo after")
    engine.containers.wait(name)
    assert [len(line.text) for line in engine.containers.logs(name)] == [300001, 6]
    assert text(list(engine.containers.logs(name, tail=1))) == "after\n"


def test_following_ends_with_the_container_and_misses_nothing(engine: Engine) -> None:
    name = detached(engine, "for i in $(seq 2000); do echo $i; done")
    assert text(list(engine.containers.logs(name, follow=True))).split() == [
        str(n) for n in range(1, 2001)
    ]


def test_the_tail_can_be_followed(engine: Engine) -> None:
    name = detached(engine, "seq 10; read x; echo then $x", open_stdin=True)
    while len(list(engine.containers.logs(name))) < 10:
        time.sleep(0.01)
    lines = engine.containers.logs(name, follow=True, tail=2)
    assert [next(lines).text, next(lines).text] == [b"9\n", b"10\n"]
    process = engine.containers.attach(name)
    answer = threading.Thread(target=lambda: process.write(b"go\n"))
    answer.start()
    assert text(list(lines)) == "then go\n"
    answer.join()
    process.wait()


def test_since_and_until_choose_by_time(engine: Engine) -> None:
    name = detached(engine, "echo first")
    engine.containers.wait(name)
    between = time.time()
    engine.containers.start(name)
    engine.containers.wait(name)
    (first, second) = engine.containers.logs(name)
    assert list(engine.containers.logs(name, since=between)) == [second]
    assert list(engine.containers.logs(name, until=between)) == [first]


def test_a_log_is_rotated_while_it_is_followed(engine: Engine) -> None:
    options = {"max-size": "20k", "max-file": "3"}
    script = "seq 3000; read x; echo over"
    container = engine.containers.create(
        ContainerSpec(
            image="busybox",
            command=("sh", "-c", script),
            network="none",
            open_stdin=True,
            log_options=options,
        )
    )
    process = engine.containers.start_attached(container.id)
    lines = engine.containers.logs(container.id, follow=True)
    last = next(line.text for line in lines if line.text == b"3000\n")
    process.write(b"\n")
    assert [last, *(line.text for line in lines)] == [b"3000\n", b"over\n"]
    process.wait()
    log = Path(engine.containers.inspect(container.id)["LogPath"])
    files = sorted(log.parent.glob(f"{log.name}*"))
    assert [file.name.removeprefix(log.name) for file in files] == ["", ".1", ".2"]
    assert all(file.stat().st_size < 20_100 for file in files)
    kept = [line.text for line in engine.containers.logs(container.id)]
    assert kept[-2:] == [b"3000\n", b"over\n"]
    assert kept[:-1] == [b"%d\n" % n for n in range(3002 - len(kept), 3001)]


def test_the_driver_none_writes_nothing(engine: Engine) -> None:
    name = detached(engine, "echo hello", log_driver="none")
    engine.containers.wait(name)
    directory = engine.data_root.container(name)
    assert not [name for name in os.listdir(directory) if "log" in name]


def test_options_are_checked_before_anything_is_made(engine: Engine) -> None:
    for driver, options, words in (
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"colour": "red"}, "unknown log opt 'colour' for json-file log driver"),
        ("nope", {}, "no log driver named 'nope' is registered"),
    ):
        with pytest.raises(InvalidInput, match=words):
            engine.containers.create(
                ContainerSpec(image="busybox", log_driver=driver, log_options=options)
            )
    assert engine.containers.list(all=True) == ()


def test_the_driver_none_cannot_be_read(engine: Engine) -> None:
    name = engine.containers.create(ContainerSpec(image="busybox", log_driver="none")).id
    with pytest.raises(Unsupported, match="configured logging driver does not support reading"):
        engine.containers.logs(name)


def test_the_health_check_of_a_dockerfile_is_the_images(engine: Engine, build: Build) -> None:
    image = build("FROM busybox\nHEALTHCHECK --interval=5s --retries=2 CMD test -e /ok\n")
    check = engine.images.get(image).config.healthcheck
    assert check is not None
    assert (check.test, check.interval, check.retries) == (("CMD-SHELL", "test -e /ok"), 5.0, 2)
    assert engine.images.inspect(image)["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "test -e /ok"],
        "Interval": 5_000_000_000,
        "Retries": 2,
    }


# ------------------------------------------------------------------ options


def test_command_line_8_details_are_labels_variables_and_tag(engine: Engine) -> None:
    """The line is that of dockerd 20.10."""
    options = {
        "labels": "a,zz",
        "labels-regex": "^app",
        "env": "FOO",
        "tag": "{{.Name}}/{{.ImageName}}",
    }
    name = detached(
        engine,
        "echo hi",
        name="n1",
        labels={"a": "b", "app.x": "1"},
        env=("FOO=1", "BAR=2"),
        log_options=options,
    )
    engine.containers.wait(name)
    (line,) = engine.containers.logs(name)
    assert line.attributes == {"FOO": "1", "a": "b", "app.x": "1", "tag": "n1/busybox"}
    outcome = commands.execute(engine, commands.parse(["logs", "--details", name]))
    assert isinstance(outcome, Result)
    assert outcome.text() == "FOO=1,a=b,app.x=1,tag=n1%2Fbusybox hi"
    assert list(engine.containers.logs(name, tail=1)) == [line]


def test_notebook_5_an_engine_bounds_the_logs_of_containers_without_options(
    engine: Engine,
) -> None:
    defaults = {"max-size": "20k", "max-file": "2"}
    with Engine(engine.data_root.root, default_log_options=defaults) as bounding:
        name = detached(bounding, "seq 20000")
        bounding.containers.wait(name)
        own = bounding.containers.create(
            ContainerSpec(image="busybox", log_options={"max-file": "3", "tag": "x"})
        )
        local = bounding.containers.create(ContainerSpec(image="busybox", log_driver="local"))
    shown = engine.containers.inspect(name)
    assert shown["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": defaults}
    log = Path(shown["LogPath"])
    sizes = [file.stat().st_size for file in log.parent.glob(f"{log.name}*")]
    assert len(sizes) == 2
    assert sum(sizes) < 42_000
    assert list(engine.containers.logs(name))[-1].text == b"20000\n"
    mixed = engine.containers.inspect(own.id)["HostConfig"]["LogConfig"]["Config"]
    assert mixed == {"max-size": "20k", "max-file": "3", "tag": "x"}
    assert engine.containers.inspect(local.id)["HostConfig"]["LogConfig"]["Config"] == {}
    unbounded = engine.containers.create(ContainerSpec(image="busybox"))
    assert engine.containers.inspect(unbounded.id)["HostConfig"]["LogConfig"]["Config"] == {}


def test_notebook_5_wrong_default_log_options_end_before_any_effect(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown log opt 'nosuch' for json-file log driver"):
        Engine(tmp_path / "area", default_log_options={"nosuch": "1"})
    assert not (tmp_path / "area").exists()


def test_command_line_8_compressed_files_are_read(engine: Engine) -> None:
    options = {"max-size": "20k", "max-file": "3", "compress": "true"}
    name = detached(engine, "seq 1500", log_options=options)
    engine.containers.wait(name)
    log = Path(engine.containers.inspect(name)["LogPath"])

    def files() -> list[str]:
        return sorted(file.name.removeprefix(log.name) for file in log.parent.glob(f"{log.name}*"))

    assert eventually(lambda: files() == ["", ".1.gz", ".2.gz"])
    contents = log.read_bytes()
    for number in (1, 2):
        contents += gzip.decompress(log.with_name(f"{log.name}.{number}.gz").read_bytes())
    lines = [int(line.text) for line in engine.containers.logs(name)]
    assert lines == list(range(1501 - contents.count(b"\n"), 1501))
    assert [line.text for line in engine.containers.logs(name, tail=600)] == [
        b"%d\n" % number for number in lines[-600:]
    ]


def test_command_line_8_a_log_without_blocking_is_written_to_the_end(engine: Engine) -> None:
    options = {"mode": "non-blocking", "max-buffer-size": "4m"}
    name = detached(engine, "seq 20000; printf end", log_options=options)
    engine.containers.wait(name)
    lines = [line.text for line in engine.containers.logs(name)]
    assert lines == [*(b"%d\n" % number for number in range(1, 20001)), b"end"]


def test_the_driver_syslog_sends_to_where_it_is_told_and_can_be_read(
    engine: Engine, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "syslog"))
        receiver.settimeout(10)
        options = {"syslog-address": f"unixgram://{tmp_path}/syslog", "tag": "{{.Name}}"}
        name = detached(engine, "echo hi", name="n1", log_driver="syslog", log_options=options)
        message = receiver.recv(4096)
        assert message.startswith(b"<30>")
        assert re.fullmatch(rb".* n1\[\d+\]: hi\n", message)
    engine.containers.wait(name)
    assert [line.text for line in engine.containers.logs(name)] == [b"hi\n"]


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        (
            "syslog",
            {"syslog-address": "tcp://127.0.0.1:1"},
            "dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        pytest.param(
            "journald",
            {},
            "journald is not enabled on this host",
            marks=pytest.mark.skipif(
                os.path.exists("/run/systemd/journal/socket"), reason="optional: journald is here"
            ),
        ),
    ],
)
def test_a_destination_that_is_not_there_keeps_a_container_from_starting(
    engine: Engine, driver: str, options: dict[str, str], message: str
) -> None:
    spec = ContainerSpec(
        image="busybox", command=("true",), log_driver=driver, log_options=options, name="web"
    )
    with pytest.raises(InvalidInput) as caught:
        engine.containers.run(spec, detach=True)
    assert caught.value.message == f"failed to initialize logging driver: {message}"
    assert engine.containers.get("web").status is Status.CREATED


def test_without_a_cache_syslog_cannot_be_read(engine: Engine, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "syslog"))
        options = {"syslog-address": f"unixgram://{tmp_path}/syslog", "cache-disabled": "true"}
        name = detached(engine, "echo hi", log_driver="syslog", log_options=options)
        engine.containers.wait(name)
    with pytest.raises(Unsupported, match="configured logging driver does not support reading"):
        engine.containers.logs(name)
