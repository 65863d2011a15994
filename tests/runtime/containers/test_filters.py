"""The filters of `ps`."""

from __future__ import annotations

import pytest

from dockmagic_runtime.containers.ps.filters import Lookups, select
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import Container, Mount, PortMapping, Status

NOW = 1_700_000_000.0


def container(name: str, number: int, **fields: object) -> Container:
    values: dict[str, object] = {
        "id": f"{number:02x}" * 32,
        "name": name,
        "image": "busybox",
        "image_id": "sha256:" + "a" * 64,
        "command": ("sh",),
        "created": NOW + number,
        "status": Status.RUNNING,
        "networks": (str(fields.pop("network", "bridge")),),
        **fields,
    }
    return Container(**values)  # type: ignore[arg-type]


WEB = container(
    "web",
    1,
    labels={"tier": "front", "app": "shop"},
    exposed=("80/tcp", "443/tcp"),
    mounts=(Mount(kind="volume", source="data", target="/var/lib"),),
    health="healthy",
)
DB = container(
    "db", 2, labels={"tier": "back"}, status=Status.EXITED, exit_code=3, started=NOW, network="none"
)
JOB = container("job-1", 3, status=Status.CREATED, image_id="sha256:" + "b" * 64)
ALL = [JOB, DB, WEB]


def created(name: str) -> float:
    for known in ALL:
        if known.name == name:
            return known.created
    raise NotFound(f"No such container: {name}")


LOOK = Lookups(
    created=created, descends=lambda image_id, text: image_id.startswith(f"sha256:{text}")
)


def names(**filters: list[str]) -> list[str]:
    asked = {name.replace("_", "-"): values for name, values in filters.items()}
    return [passed.name for passed in select(ALL, asked, LOOK)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["job-1", "db", "web"]),
        ({"name": ["web"]}, ["web"]),
        ({"name": ["^/w"]}, ["web"]),
        ({"name": ["b"]}, ["job-1", "db", "web"]),
        ({"name": ["^db$", "job"]}, ["job-1", "db"]),
        ({"id": ["0202"]}, ["db"]),
        ({"label": ["tier"]}, ["db", "web"]),
        ({"label": ["tier=front"]}, ["web"]),
        ({"label": ["tier=front", "app=none"]}, []),  # all of them must be there
        ({"status": ["exited", "created"]}, ["job-1", "db"]),
        ({"exited": ["3"]}, ["db"]),
        ({"exited": ["0"]}, []),  # one that never ran has no exit code
        ({"before": ["db"]}, ["web"]),
        ({"since": ["db"]}, ["job-1"]),
        ({"ancestor": ["b"]}, ["job-1"]),
        ({"volume": ["data"]}, ["web"]),
        ({"volume": ["/var/lib"]}, ["web"]),
        ({"network": ["none"]}, ["db"]),
        ({"expose": ["80"]}, ["web"]),
        ({"expose": ["400-450/tcp"]}, ["web"]),
        ({"expose": ["80/udp"]}, []),
        ({"health": ["healthy"]}, ["web"]),
        ({"health": ["none"]}, ["job-1", "db"]),
        ({"is_task": ["false"]}, ["job-1", "db", "web"]),
        ({"is_task": ["true"]}, []),
        ({"name": ["db"], "status": ["running"]}, []),  # names must all hold
    ],
)
def test_what_passes(filters: dict[str, list[str]], expected: list[str]) -> None:
    assert names(**filters) == expected


def test_command_line_4_publish_asks_for_the_hosts_port_and_expose_for_the_containers() -> None:
    ports = (PortMapping(container_port=80, host_port=28080),)
    published = container("published", 4, status=Status.RUNNING, ports=ports)
    stopped = container("stopped", 5, status=Status.EXITED, ports=ports, exposed=("80/tcp",))

    def chosen(**filters: list[str]) -> list[str]:
        return [each.name for each in select([published, stopped], filters, LOOK)]

    assert chosen(publish=["28080"]) == ["published"]
    assert chosen(publish=["28000-28100/tcp"]) == ["published"]
    assert chosen(publish=["80"]) == []
    assert chosen(publish=["28080/udp"]) == []
    assert chosen(expose=["80"]) == ["published"]
    assert chosen(publish=["1"], expose=["80"]) == ["published"]  # one of the two will do


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nope", "1", "invalid filter 'nope'"),
        ("status", "sleeping", "invalid filter 'status=sleeping'"),
        ("exited", "x", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("health", "well", "unrecognised filter value for health: well"),
        ("publish", "0", "error while looking up for publish 0: "),
        ("expose", "80-70", "error while looking up for expose 80-70: "),
        ("is-task", "maybe", "invalid filter 'is-task=.maybe.'"),
        ("name", "(", "invalid filter 'name="),
    ],
)
def test_what_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        select(ALL, {name: [value]}, LOOK)


def test_a_container_that_does_not_exist_is_told() -> None:
    with pytest.raises(NotFound, match="No such container: nope"):
        select(ALL, {"since": ["nope"]}, LOOK)
