from __future__ import annotations

import pytest

from dockmagic_runtime.containers.record import (
    Record,
    command_line,
    environment,
    exposed_ports,
    process_environment,
)
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, Mount, PortMapping
from dockmagic_runtime.model.image import Image, ImageConfig


def image(**config: object) -> Image:
    return Image(
        id="sha256:" + "a" * 64,
        tags=("x:latest",),
        created=0,
        size=0,
        config=ImageConfig(**config),  # type: ignore[arg-type]
        architecture="amd64",
        os="linux",
        diff_ids=(),
        chain_ids=(),
    )


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "asked_entrypoint", "asked_command", "expected"),
    [
        (None, ("httpd",), None, None, ("httpd",)),
        (None, ("httpd",), None, ("sh",), ("sh",)),
        (("/e",), ("a",), None, None, ("/e", "a")),
        (("/e",), ("a",), None, ("b", "c"), ("/e", "b", "c")),
        (("/e",), ("a",), ("/x",), None, ("/x",)),  # the image's CMD goes with its ENTRYPOINT
        (("/e",), ("a",), ("/x",), ("b",), ("/x", "b")),
        (("/e",), None, (), ("sh",), ("sh",)),  # --entrypoint "" clears it
    ],
)
def test_entrypoint_and_command(
    entrypoint: tuple[str, ...] | None,
    cmd: tuple[str, ...] | None,
    asked_entrypoint: tuple[str, ...] | None,
    asked_command: tuple[str, ...] | None,
    expected: tuple[str, ...],
) -> None:
    spec = ContainerSpec(image="x", entrypoint=asked_entrypoint, command=asked_command)
    first, second = command_line(spec, image(entrypoint=entrypoint, cmd=cmd))
    assert (*first, *second) == expected


def test_no_command_at_all_is_dockers_error() -> None:
    with pytest.raises(InvalidInput, match="no command specified"):
        command_line(ContainerSpec(image="x", entrypoint=()), image(cmd=("a",)))


def test_the_environment_overrides_in_place_and_drops_keys_without_a_value() -> None:
    spec = ContainerSpec(image="x", env=("B=2", "PATH=/mine", "A"))
    env = environment(spec, image(env=("A=1", "B=1", "C=1")))
    assert env == ("B=2", "PATH=/mine", "A", "C=1")
    merged = process_environment("web", (*env, "C", "D=4"), tty=False)
    assert list(merged.items()) == [("PATH", "/mine"), ("HOSTNAME", "web"), ("B", "2"), ("D", "4")]


def test_a_terminal_brings_term() -> None:
    assert process_environment("h", (), tty=True)["TERM"] == "xterm"
    assert "TERM" not in process_environment("h", (), tty=False)


def test_ports_of_the_image_the_caller_and_the_mappings_are_exposed() -> None:
    spec = ContainerSpec(
        image="x", expose=("9000-9001", "53/udp"), ports=(PortMapping(container_port=443),)
    )
    ports = exposed_ports(spec, image(exposed_ports=("80/tcp",)))
    assert ports == ("53/udp", "80/tcp", "443/tcp", "9000/tcp", "9001/tcp")


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput):
        exposed_ports(ContainerSpec(image="x", expose=("70000",)), image())


def test_a_record_survives_the_database() -> None:
    record = Record(
        id="f" * 64,
        name="web",
        image_id="sha256:" + "a" * 64,
        created=1.5,
        spec=ContainerSpec(image="x", ports=(PortMapping(container_port=80, host_port=9999),)),
        entrypoint=(),
        command=("httpd",),
        env=("A=b",),
        working_dir="/",
        user="",
        hostname="ffff",
        stop_signal="SIGTERM",
        labels={"k": "v"},
        exposed=("80/tcp",),
        mounts=(Mount(kind="bind", source="/a", target="/b"),),
        layers=("sha256:" + "b" * 64,),
    )
    assert Record.decode(record.encode()) == record
