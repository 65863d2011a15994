"""The filters of `ps`, as pure functions of `Container` values.

The values of one name are alternatives, except for labels: all must be there. All names must
hold. What a value refers to (another container, an image) is looked up by functions that are
passed in. Source: Docker's documentation of `docker ps --filter`; moby, daemon/list.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Container, Status
from dockmagic_runtime.model.filters import Filters, boolean, check, has_label
from dockmagic_runtime.model.go_values import quote
from dockmagic_runtime.model.ports import expand_ports

LIST: Final = frozenset(
    "ancestor before exited expose health id is-task isolation label name network publish since "
    "status volume".split()
)
_HEALTH: Final = ("starting", "healthy", "unhealthy", "none")


class Lookups(Struct, frozen=True, kw_only=True):
    """`created`: the creation time of the container of that name; raises NotFound.

    `descends`: whether the image with that id, a container's, descends from the named image.
    """

    created: Callable[[str], float]
    descends: Callable[[str, str], bool]


def wants_all(filters: Filters) -> bool:
    """Whether a filter concerns containers that do not run: then `ps` lists those without --all."""
    return bool(filters.get("status") or filters.get("exited"))


def select(containers: Sequence[Container], filters: Filters, look: Lookups) -> list[Container]:
    """The containers that pass, in their order. Raises InvalidInput, NotFound."""
    check(filters, LIST)
    tests = [
        _test(name, tuple(values), look)
        for name, values in filters.items()
        if values and name not in ("publish", "expose")
    ]
    if filters.get("publish") or filters.get("expose"):
        tests.append(_with_ports(filters.get("publish", ()), filters.get("expose", ())))
    return [container for container in containers if all(test(container) for test in tests)]


Test = Callable[[Container], bool]


def _test(name: str, values: tuple[str, ...], look: Lookups) -> Test:
    if name == "label":
        return lambda container: all(has_label(container.labels, text) for text in values)
    if name in ("before", "since"):
        return _time(name, values, look)
    if name == "ancestor":
        return lambda container: any(look.descends(container.image_id, text) for text in values)
    if name in ("id", "name"):
        return _pattern(name, values)
    make = {
        "exited": _exited,
        "health": _healthy,
        "is-task": _task,
        "isolation": lambda _: lambda _container: True,  # for Windows; Docker ignores it too
        "network": _networked,
        "status": _state,
        "volume": _mounted,
    }[name]
    return make(values)


def _time(name: str, values: tuple[str, ...], look: Lookups) -> Test:
    moments = [look.created(text) for text in values]
    if name == "before":
        return lambda container: container.created < min(moments)
    return lambda container: container.created > max(moments)


def _pattern(name: str, values: tuple[str, ...]) -> Test:
    """Regular expressions that may match anywhere; names are tried with their slash too."""
    try:
        patterns = [re.compile(text) for text in values]
    except re.error as error:
        raise InvalidInput(f"invalid filter '{name}={','.join(values)}': {error}") from None

    def test(container: Container) -> bool:
        names = (container.name, f"/{container.name}")
        texts = (container.id,) if name == "id" else names
        return any(pattern.search(text) for pattern in patterns for text in texts)

    return test


def _state(values: tuple[str, ...]) -> Test:
    for text in values:
        if text not in set(Status):
            raise InvalidInput(
                f"invalid filter 'status={text}'", hint=f"one of {', '.join(Status)}"
            )
    return lambda container: str(container.status) in values


def _exited(values: tuple[str, ...]) -> Test:
    for text in values:
        if not re.fullmatch(r"-?[0-9]+", text):
            message = f"strconv.Atoi: parsing {quote(text)}: invalid syntax"
            raise InvalidInput(message, hint="an exit code")
    codes = {int(text) for text in values}

    def test(container: Container) -> bool:
        has_exited = not container.status.is_alive and container.started > 0
        return has_exited and container.exit_code in codes

    return test


def _healthy(values: tuple[str, ...]) -> Test:
    for text in values:
        if text not in _HEALTH:
            raise InvalidInput(f"unrecognised filter value for health: {text}")
    return lambda container: (container.health or "none") in values


def _task(values: tuple[str, ...]) -> Test:
    """No container is a task of a swarm."""
    wanted = boolean({"is-task": values}, "is-task")
    return lambda _container: not wanted


def _mounted(values: tuple[str, ...]) -> Test:
    """By the name of a volume, the path on the host, or the path in the container."""
    return lambda container: any(
        text in (mount.source, mount.target) for mount in container.mounts for text in values
    )


def _networked(values: tuple[str, ...]) -> Test:
    return lambda container: any(name in values for name in container.networks)


def _with_ports(published: Sequence[str], exposed: Sequence[str]) -> Test:
    """`publish` compares ports of the host, `expose` those of the container; one that fits will do.

    As in Docker, a container that does not run has no ports.
    """
    on_host = {port for text in published for port in ports("publish", text)}
    inside = {port for text in exposed for port in ports("expose", text)}

    def test(container: Container) -> bool:
        if not container.status.is_alive:
            return False
        return any(
            f"{port.host_port}/{port.protocol}" in on_host
            or f"{port.container_port}/{port.protocol}" in inside
            for port in container.ports
        ) or not inside.isdisjoint(container.exposed)

    return test


def ports(name: str, text: str) -> tuple[str, ...]:
    """`80`, `80/udp`, `8000-8080/tcp` as "80/tcp" strings. Raises InvalidInput."""
    try:
        return expand_ports(text)
    except (ValueError, InvalidInput) as error:
        message = f"error while looking up for {name} {text}: {error}"
        raise InvalidInput(message, hint="PORT[-PORT][/PROTOCOL]") from None
