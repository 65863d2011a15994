"""Specs convert docker-py's forms, and refuse wrong types before any effect."""

from __future__ import annotations

import io
from typing import Any

import pytest

from dockmagic_runtime.engine.keywords import container_spec, exec_spec, network_spec
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.model.commit import CommitSpec
from dockmagic_runtime.model.container import (
    ContainerSpec,
    Device,
    ExecSpec,
    HealthCheck,
    Mount,
    PortMapping,
    Resources,
    RestartPolicy,
)
from dockmagic_runtime.model.network import Attachment, NetworkSpec, Pool


def port(number: int, **fields: Any) -> PortMapping:
    return PortMapping(container_port=number, **fields)


BIND = Mount(
    kind="bind", source="/h", target="/in", read_only=True, options=("ro",), create_source=True
)
FORMS: list[tuple[str, Any, Any]] = [
    ("command", "echo 'hi there'", ("echo", "hi there")),
    ("command", "", ()),
    ("command", ["echo", "hi"], ("echo", "hi")),
    ("entrypoint", "sh -c", ("sh", "-c")),
    ("env", {"A": "1", "B": None, "C": 2}, ("A=1", "B", "C=2")),
    ("env", ["A=1"], ("A=1",)),
    ("labels", ["a=b", "c"], {"a": "b", "c": ""}),
    ("labels", {"a": 1}, {"a": "1"}),
    ("user", 1000, "1000"),
    ("group_add", [5, "wheel"], ("5", "wheel")),
    ("ports", {"80/tcp": 9999}, (port(80, host_port=9999),)),
    ("ports", {80: None, "53/UDP": ""}, (port(80), port(53, protocol="udp"))),
    ("ports", {"80": ("127.0.0.1", 8080)}, (port(80, host_ip="127.0.0.1", host_port=8080),)),
    ("ports", {"80": ("127.0.0.1",)}, (port(80, host_ip="127.0.0.1"),)),
    ("ports", {"80": [1, "2"]}, (port(80, host_port=1), port(80, host_port=2))),
    ("ports", {"80": {"HostIp": "::", "HostPort": "7"}}, (port(80, host_ip="::", host_port=7),)),
    ("ports", {"80": "8000-8010"}, (port(80, host_port=8000, host_port_end=8010),)),
    ("mounts", {"/h": {"bind": "/in", "mode": "ro"}}, (BIND,)),
    ("mounts", ["/h:/in:ro"], (BIND,)),
    ("mounts", ["v:/v"], (Mount(kind="volume", source="v", target="/v"),)),
    ("mounts", ["/v"], (Mount(kind="volume", target="/v"),)),
    ("links", {"db": "alias"}, (("db", "alias"),)),
    ("links", [["db", "alias"]], (("db", "alias"),)),
    ("extra_hosts", {"host": "10.0.0.1"}, ("host:10.0.0.1",)),
    ("dns", ["10.0.0.1"], ("10.0.0.1",)),
    ("shm_size", "64m", 64 << 20),
    ("shm_size", "1.5g", 3 << 29),
    ("ulimits", [{"Name": "nofile", "Soft": 64, "Hard": 128}], {"nofile": (64, 128)}),
    ("ulimits", {"nofile": 64}, {"nofile": (64, 64)}),
    ("sysctls", {"net.core.somaxconn": 5}, {"net.core.somaxconn": "5"}),
    ("restart", "on-failure:3", RestartPolicy(name="on-failure", maximum=3)),
    ("restart", {"Name": "always"}, RestartPolicy(name="always")),
    ("restart", {"Name": "on-failure", "MaximumRetryCount": 5},
     RestartPolicy(name="on-failure", maximum=5)),
    ("health", {"test": "true", "interval": 10**9},
     HealthCheck(test=("CMD-SHELL", "true"), interval=1)),
    ("health", {"Test": ["NONE"], "StartPeriod": 5 * 10**8},
     HealthCheck(test=("NONE",), start_period=0.5)),
    ("devices", ["/dev/fuse", "/dev/a:/dev/b:r"],
     (Device(source="/dev/fuse", target="/dev/fuse"),
      Device(source="/dev/a", target="/dev/b", permissions="r"))),
    ("resources", {"memory": "1g"}, Resources(memory=1 << 30)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "expected"), FORMS)
def test_docker_pys_form_of_a_field_becomes_our_own(name: str, given: Any, expected: Any) -> None:
    spec = ContainerSpec(image="busybox", **{name: given})
    assert getattr(spec, name) == expected
    assert ContainerSpec(image="busybox", **{name: expected}) == spec  # which stays as it is


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": 5}, "ContainerSpec: image: expected str, got int"),
        ({"command": 5}, "ContainerSpec: command: "),
        ({"command": "echo '"}, "ContainerSpec: command cannot be "),
        ({"env": ("A", 1)}, "ContainerSpec: env[1]: expected str, got int"),
        ({"env": 5}, "ContainerSpec: env: expected array, got int"),
        ({"tty": 1}, "ContainerSpec: tty: expected bool, got int"),
        ({"labels": 5}, "ContainerSpec: labels: "),
        ({"ports": ["80"]}, "ContainerSpec: ports[0]: "),
        ({"ports": {"x": 1}}, "ContainerSpec: ports cannot be {'x': 1}"),
        ({"ports": {"80/x": 1}}, "invalid proto: x"),
        ({"ports": {"80": (1, 2, 3)}}, "ContainerSpec: ports cannot be "),
        ({"ports": {"80": 70000}}, "ContainerSpec: ports cannot be "),
        ({"restart": {"Nme": "always"}}, "ContainerSpec: restart cannot be "),
        ({"resources": {"memry": 1}}, "ContainerSpec: resources cannot be "),
        ({"resources": {"memory": "x"}}, "Resources: memory cannot be 'x'"),
        ({"health": {"interval": "5s"}}, "ContainerSpec: health cannot be "),
        ({"shm_size": "x"}, "ContainerSpec: shm_size cannot be 'x'"),
        ({"mounts": {"/h": "/in"}}, "ContainerSpec: mounts cannot be "),
        ({"ulimits": [{"Name": "nofile"}]}, "ContainerSpec: ulimits cannot be "),
        ({"name": "?"}, "Invalid container name"),
    ],
)
def test_a_wrong_type_ends_before_any_effect(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ContainerSpec(**{"image": "busybox", **fields})
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ExecSpec, {"command": 5}),
        (NetworkSpec, {"name": 5}),
        (NetworkSpec, {"name": "front", "pools": [5]}),
        (Attachment, {"network": "front", "aliases": "a"}),
        (PortMapping, {"container_port": "80"}),
        (Mount, {"kind": "bind", "target": None}),
        (BuildRequest, {"dockerfile": 5, "context": None}),
        (CommitSpec, {"changes": "CMD a"}),
    ],
)
def test_every_spec_refuses_wrong_types(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"^{kind.__name__}: "):
        kind(**fields)


def test_a_stream_of_a_build_is_not_looked_at() -> None:
    stream = io.BytesIO()
    assert BuildRequest(dockerfile=None, context=None, context_tar=stream).context_tar is stream


def test_networks_take_dockers_ipam_config() -> None:
    ipam = {"Config": [{"Subnet": "10.0.0.0/24", "AuxiliaryAddresses": {"a": "10.0.0.9"}}]}
    spec = network_spec("front", {"ipam": ipam, "enable_ipv6": True, "options": {"a": 1}})
    pool = Pool(subnet="10.0.0.0/24", reserved=(("a", "10.0.0.9"),))
    assert spec == NetworkSpec(name="front", pools=(pool,), ipv6=True, options={"a": "1"})


def test_docker_pys_keywords_of_a_container() -> None:
    keywords = {
        "environment": {"A": "1"},
        "volumes": ["/h:/in:ro"],
        "tmpfs": {"/run": "size=1m"},
        "remove": True,
        "stdin_open": True,
        "restart_policy": {"Name": "always"},
        "mem_limit": "64m",
        "nano_cpus": 5,
        "device_read_bps": [{"Path": "/dev/sda", "Rate": 7}],
        "log_config": {"Type": "local", "Config": {"max-size": "1m"}},
        "network": "front",
        "mac_address": "02:42:ac:11:00:02",
    }
    assert container_spec("busybox", "echo hi", keywords) == ContainerSpec(
        image="busybox",
        command=("echo", "hi"),
        env=("A=1",),
        mounts=(BIND, Mount(kind="tmpfs", target="/run", options=("size=1m",))),
        auto_remove=True,
        open_stdin=True,
        restart=RestartPolicy(name="always"),
        resources=Resources(memory=64 << 20, nano_cpus=5, throttles=(("read_bps", "/dev/sda", 7),)),
        log_driver="local",
        log_options={"max-size": "1m"},
        network="front",
        attachments=(Attachment(network="front", mac_address="02:42:ac:11:00:02"),),
    )


def test_docker_pys_keywords_of_an_exec() -> None:
    assert exec_spec("id -u", {"environment": ["A=1"], "workdir": "/", "user": 0}) == ExecSpec(
        command=("id", "-u"), env=("A=1",), working_dir="/", user="0"
    )


def test_an_unknown_keyword_is_refused_with_the_one_that_is_meant() -> None:
    with pytest.raises(InvalidInput, match="unknown keyword: enviroment") as caught:
        container_spec("busybox", None, {"enviroment": {}})
    assert caught.value.hint == "did you mean environment?"
