from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from dockmagic_runtime.model.docker_event import Event

AT = 1_700_000_000_000_000_042


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def event(**values: object) -> Event:
    return Event(**{"type": "container", "action": "die", "id": "abc", "time_ns": AT, **values})  # type: ignore[arg-type]


def test_a_containers_event_has_dockers_keys_in_dockers_order() -> None:
    text = json.dumps(event(attributes={"exitCode": "3", "image": "busybox"}).to_json())
    assert text == (
        '{"status": "die", "id": "abc", "from": "busybox", "Type": "container", '
        '"Action": "die", "Actor": {"ID": "abc", "Attributes": {"exitCode": "3", '
        '"image": "busybox"}}, "scope": "local", "time": 1700000000, '
        '"timeNano": 1700000000000000042}'
    )


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("container", {"status", "id"}),
        ("image", {"status", "id"}),
        ("volume", set()),
        ("network", set()),
    ],
)
def test_the_oldest_keys_are_those_of_containers_and_images(kind: str, keys: set[str]) -> None:
    shape = event(type=kind).to_json()
    assert {"status", "id", "from"} & set(shape) == keys


def test_an_event_comes_back_from_its_json() -> None:
    given = event(attributes={"name": "web", "label": "ü"})
    assert Event.from_json(json.loads(json.dumps(given.to_json()))) == given


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("UTC", "2023-11-14T22:13:20.000000042Z"),
        ("EST5", "2023-11-14T17:13:20.000000042-05:00"),
        ("IST-5:30", "2023-11-15T03:43:20.000000042+05:30"),
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_the_line_is_in_local_time_with_sorted_attributes(moment: str) -> None:
    line = str(event(attributes={"name": "web", "exitCode": "0"}))
    assert line == f"{moment} container die abc (exitCode=0, name=web)"


def test_a_line_without_attributes_has_no_brackets() -> None:
    assert str(event()).endswith(" container die abc")
