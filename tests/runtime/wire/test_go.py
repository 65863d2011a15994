"""Values of the Engine API: what Docker's client 28.2 makes of a daemon's answers is what we make.

The documents in data/ are `docker … --format '{{json .}}'` of such values: decoded into Docker's
structs and encoded again, they show each field, its place and its zero value.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.wire import container, event, go, image, network, system, volume

DATA = Path(__file__).parent / "data"
TYPES: dict[str, type[go.GoStruct]] = {
    "container": container.InspectResponse,
    "image": image.InspectResponse,
    "network": network.Inspect,
    "volume": volume.Volume,
    "event": event.Message,
    "info": system.DockerInfo,
    "version": system.VersionInfo,
}


def all_types() -> list[type[go.GoStruct]]:
    modules = (container, event, image, network, system, volume)
    members = [member for module in modules for member in vars(module).values()]
    structs = (m for m in members if isinstance(m, type) and issubclass(m, go.GoStruct))
    return [struct for struct in structs if struct is not go.GoStruct]


@pytest.mark.parametrize("name", TYPES)
def test_a_document_comes_back_as_docker_writes_it(name: str) -> None:
    recorded = json.loads((DATA / f"{name}.json").read_text())
    ours = go.document(go.decode(TYPES[name], recorded))
    assert json.dumps(ours) == json.dumps(recorded)  # the order of the fields counts too


@pytest.mark.parametrize("struct", all_types(), ids=lambda struct: struct.go_type)
def test_zero_values_survive_a_round_trip(struct: type[go.GoStruct]) -> None:
    assert struct.go_type
    assert set(struct.json_names) | struct.omit_empty | struct.embedded <= set(
        struct.__struct_fields__
    )
    assert go.decode(struct, go.document(struct())) == struct()


def test_template_absent_and_null_are_the_zero_value() -> None:
    empty = go.decode(container.InspectResponse, {"Config": {"Cmd": None}})
    assert empty.Config is not None
    assert empty.Config.Entrypoint is None
    assert empty.HostConfig is None
    assert empty.GraphDriver.Name == ""


def test_a_field_of_an_embedded_struct_is_found_through_the_outer_one() -> None:
    settings = go.decode(container.HostSettings, {"Memory": 5})
    assert settings.Resources.Memory == 5
    assert go.field(settings, "Memory") == (5, go.Kind("int"))
    assert go.field(settings, "Nope") is None
    assert go.document(settings)["Memory"] == 5


def test_maps_are_sorted_by_key_and_structs_are_not() -> None:
    labels = go.document(volume.Volume(Labels={"b": "1", "a": "2"}))
    assert list(labels["Labels"]) == ["a", "b"]
    assert list(labels) == ["Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"Name": 5}, "volume.Volume.Name is not of type string"),
        ({"Labels": []}, "volume.Volume.Labels is not an object"),
        ({"Labels": {"a": 1}}, "volume.Volume.Labels.a is not of type string"),
        ({"UsageData": {"Size": True}}, "volume.Volume.UsageData.Size is not of type int"),
    ],
)
def test_another_type_is_refused_with_the_name_of_the_field(
    source: dict[str, Any], message: str
) -> None:
    with pytest.raises(go.WireError, match=message):
        go.decode(volume.Volume, source)


def test_template_omitempty_spares_what_a_pointer_leads_to() -> None:
    sized = go.decode(container.InspectResponse, {"SizeRw": 0, "SizeRootFs": 5})
    assert go.document(sized)["SizeRw"] == 0
    assert "SizeRw" not in go.document(container.InspectResponse())
