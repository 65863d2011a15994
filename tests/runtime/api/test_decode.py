"""Documents of clients become specs; what makes no sense is refused before any effect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.api.decode.container import container_spec
from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.query import Query
from dockmagic_runtime.errors import DockmagicError, InvalidInput
from dockmagic_runtime.model.container import Mount, PortMapping, RestartPolicy


def decoded(host: dict[str, Any] | None = None, **config: Any) -> Any:
    return container_spec("/web", {"Image": "busybox", **config, "HostConfig": host or {}})


def test_what_a_plain_run_sends() -> None:
    spec = decoded(
        {"AutoRemove": True, "NetworkMode": "default", "RestartPolicy": {"Name": "no"}},
        Cmd=["echo", "hi"], Env=["A=1"], Tty=True, OpenStdin=True, Labels={"a": "b"},
    )  # fmt: skip
    assert (spec.name, spec.image, spec.command) == ("web", "busybox", ("echo", "hi"))
    assert (spec.env, spec.labels, spec.tty, spec.open_stdin) == (("A=1",), {"a": "b"}, True, True)
    assert (spec.network, spec.auto_remove, spec.restart) == ("bridge", True, RestartPolicy())


def test_one_text_stands_for_a_list_of_one() -> None:
    assert decoded(Cmd="true").command == ("true",)
    assert decoded(Entrypoint="/bin/sh").entrypoint == ("/bin/sh",)
    assert decoded(Entrypoint=[""]).entrypoint == ()
    assert decoded(Entrypoint=None).entrypoint is None


def test_ports() -> None:
    spec = decoded(
        {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
                          "53/udp": [{"HostPort": "5300-5310"}], "81/tcp": [{}]}},
        ExposedPorts={"443/tcp": {}},
    )  # fmt: skip
    assert spec.ports == (
        PortMapping(container_port=80, host_ip="127.0.0.1", host_port=8080),
        PortMapping(container_port=53, protocol="udp", host_port=5300, host_port_end=5310),
        PortMapping(container_port=81),
    )
    assert spec.expose == ("443/tcp",)


def test_mounts_of_every_kind() -> None:
    spec = decoded(
        {
            "Binds": ["/srv:/srv:ro", "data:/data"],
            "Tmpfs": {"/run": "size=1m"},
            "Mounts": [
                {"Type": "bind", "Source": "/etc", "Target": "/e", "ReadOnly": True},
                {"Type": "volume", "Source": "v1", "Target": "/v",
                 "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}}},
                {"Type": "tmpfs", "Target": "/t",
                 "TmpfsOptions": {"SizeBytes": 4096, "Mode": 1017}},
            ],
        },
        Volumes={"/anonymous": {}, "/data": {}},
    )  # fmt: skip
    by_target = {mount.target: mount for mount in spec.mounts}
    assert by_target["/srv"].read_only
    assert by_target["/data"].source == "data"
    assert by_target["/e"] == Mount(kind="bind", source="/etc", target="/e", read_only=True)
    assert (by_target["/v"].copy_up, by_target["/v"].labels) == (False, (("a", "b"),))
    assert by_target["/t"].options == ("size=4096", "mode=1771")
    assert by_target["/run"].options == ("size=1m",)
    assert by_target["/anonymous"].source == ""


def test_networks_with_the_first_by_mode() -> None:
    source = {
        "Image": "busybox",
        "HostConfig": {"NetworkMode": "front"},
        "NetworkingConfig": {
            "EndpointsConfig": {
                "back": {"Aliases": ["db"]},
                "front": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}, "Links": ["other:o"]},
            }
        },
    }
    spec = container_spec("", source)
    assert spec.network == "front"
    assert [attachment.network for attachment in spec.attachments] == ["front", "back"]
    assert spec.attachments[0].ipv4 == "10.9.0.5"
    assert spec.attachments[0].links == (("o", "other"),)
    assert spec.attachments[1].aliases == ("db",)


@pytest.mark.parametrize(
    "host",
    [
        {"Runtime": "kata"},
        {"RestartPolicy": {"Name": "always"}, "AutoRemove": True},
        {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}},
        {"OomScoreAdj": 2000},
        {"Memory": 1},
        {"NetworkMode": "container:"},
        {"IpcMode": "everywhere"},
        {"SecurityOpt": ["nonsense"]},
        {"Mounts": [{"Type": "npipe", "Target": "/x"}]},
        {"Mounts": [{"Type": "bind", "Source": "relative", "Target": "/x"}]},
        {"Binds": ["/a:/x", "/b:/x"]},
        {"Binds": ["relative/path:/x"]},
        {"Binds": ["/a:relative"]},
    ],
)
def test_what_makes_no_sense_is_refused(host: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        decoded(host)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
HOST = st.dictionaries(
    st.sampled_from(
        "Binds Mounts PortBindings NetworkMode RestartPolicy Memory NanoCpus Tmpfs Links Ulimits "
        "Devices SecurityOpt CapAdd LogConfig Dns PidsLimit Sysctls Init ShmSize".split()
    ),
    JSON,
    max_size=4,
)


@settings(max_examples=300)
@given(host=HOST, config=st.dictionaries(
    st.sampled_from("Cmd Entrypoint Env Labels ExposedPorts Volumes Healthcheck User".split()),
    JSON, max_size=3,
))  # fmt: skip
def test_any_document_is_a_spec_or_one_error(host: Any, config: Any) -> None:
    try:
        decoded(host, **config)
    except (HttpError, DockmagicError):
        pass  # an answer for the client


@pytest.mark.parametrize(
    ("text", "value"),
    [("", False), ("0", False), ("false", False), ("None", False), ("NO", False), ("1", True),
     ("true", True), ("yes", True), ("anything", True)],
)  # fmt: skip
def test_booleans_are_read_as_moby_reads_them(text: str, value: bool) -> None:
    assert Query(f"a={text}").boolean("a") is value


@given(st.text(max_size=60))
def test_any_query_is_read_or_refused(text: str) -> None:
    try:
        query = Query(text)
        query.filters()
        query.integer("a")
    except HttpError:
        pass  # an answer for the client
