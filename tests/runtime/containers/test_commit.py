"""How a commit's config comes about."""

from __future__ import annotations

import pytest

from dockmagic_runtime.containers.copy.commit import merged

CONTAINER = {
    "Cmd": ["sleep", "1"],
    "Entrypoint": ["tini"],
    "Env": ["A=1", "B=2"],
    "ExposedPorts": {"80/tcp": {}},
    "Labels": {"a": "1", "b": "2"},
    "User": "me",
    "Volumes": {"/v": {}},
    "WorkingDir": "/w",
}


def test_without_changes_it_is_the_containers() -> None:
    assert merged({}, CONTAINER) == CONTAINER


@pytest.mark.parametrize(
    ("changed", "key", "expected"),
    [
        ({"Cmd": ["x"]}, "Cmd", ["x"]),
        ({"Cmd": ["x"]}, "Entrypoint", ["tini"]),
        ({"Entrypoint": ["x"]}, "Cmd", None),  # a new entry point comes without the old command
        ({"Entrypoint": ["x"], "Cmd": ["y"]}, "Cmd", ["y"]),
        ({"Env": ["B=3", "C=4"]}, "Env", ["B=3", "C=4", "A=1"]),
        ({"Labels": {"b": "3"}}, "Labels", {"a": "1", "b": "3"}),
        ({"ExposedPorts": {"90/udp": {}}}, "ExposedPorts", {"80/tcp": {}, "90/udp": {}}),
        ({"Volumes": {"/x": {}}}, "Volumes", {"/v": {}, "/x": {}}),
        ({"User": "you"}, "User", "you"),
        ({"OnBuild": ["RUN make"]}, "OnBuild", ["RUN make"]),
    ],
)
def test_changes_win_and_collections_are_joined(
    changed: dict[str, object], key: str, expected: object
) -> None:
    assert merged(changed, CONTAINER).get(key) == expected
