from __future__ import annotations

import pytest

from dockmagic_runtime.containers.events.filters import KNOWN, matches
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.filters import check

LABELS = {"tier": "front", "empty": ""}
DIED = Event(
    type="container",
    action="die",
    id="c0ffee",
    attributes={**LABELS, "name": "web", "image": "nginx:alpine", "exitCode": "1"},
)
HEALTH = Event(type="container", action="health_status: healthy", id="c0ffee", attributes={})
PULLED = Event(type="image", action="pull", id="nginx:alpine", attributes={"name": "nginx"})
JOINED = Event(
    type="network",
    action="connect",
    id="beef",
    attributes={"name": "bridge", "container": "c0ffee"},
)
MADE = Event(type="volume", action="create", id="data", attributes={"driver": "local"})


@pytest.mark.parametrize(
    ("event", "filters", "expected"),
    [
        (DIED, {}, True),
        (DIED, {"type": ["image", "container"]}, True),
        (DIED, {"type": ["image"]}, False),
        (DIED, {"event": ["start", "die"]}, True),
        (DIED, {"event": ["di"]}, False),
        (HEALTH, {"event": ["health_status"]}, True),
        (HEALTH, {"event": ["health_status: healthy"]}, True),
        (HEALTH, {"event": ["health_status: unhealthy"]}, False),
        (DIED, {"container": ["web"]}, True),
        (DIED, {"container": ["c0f"]}, True),
        (DIED, {"container": ["other", "we"]}, True),
        (DIED, {"container": ["eb"]}, False),
        (JOINED, {"network": ["bridge"]}, True),
        (JOINED, {"container": ["c0ffee"]}, False),  # as with Docker: it is about the network
        (MADE, {"volume": ["data"]}, True),
        (MADE, {"volume": ["logs"]}, False),
        (DIED, {"image": ["nginx"]}, True),
        (DIED, {"image": ["nginx:alpine"]}, True),
        (DIED, {"image": ["nginx:latest"]}, False),
        (DIED, {"image": ["ngin"]}, False),
        (PULLED, {"image": ["nginx"]}, True),
        (PULLED, {"image": ["nginx:alpine"]}, True),
        (MADE, {"image": ["nginx"]}, False),
        (DIED, {"label": ["tier"]}, True),
        (DIED, {"label": ["tier=front", "empty"]}, True),
        (DIED, {"label": ["tier=front", "missing"]}, False),
        (DIED, {"label": ["tier=back"]}, False),
        (DIED, {"label": ["empty="]}, True),
        (DIED, {"scope": ["swarm"]}, False),
        (DIED, {"scope": ["local"], "type": ["container"], "event": ["die"]}, True),
        (DIED, {"type": ["container"], "event": ["start"]}, False),
        (DIED, {"type": []}, True),
    ],
)
def test_what_passes(event: Event, filters: dict[str, list[str]], expected: bool) -> None:
    assert matches(event, filters) is expected


def test_a_filter_that_there_is_not_is_refused() -> None:
    check({"type": ["container"], "network": ["x"]}, KNOWN)
    with pytest.raises(InvalidInput, match="invalid filter 'colour'"):
        check({"colour": ["red"]}, KNOWN)
