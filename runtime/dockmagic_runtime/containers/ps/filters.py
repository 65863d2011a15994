"""The filters of `ps`: pure, over what is known of each container.

Values of one name are alternatives, but of labels all must be there; names must all hold. What a
value refers to (another container, an image) is looked up by functions that are passed in.
Source: Docker's documentation of `docker ps --filter`; moby, daemon/list.go, as behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Container, Status
from dockmagic_runtime.model.filters import Filters, boolean, check, has_label
from dockmagic_runtime.model.ports import expand_ports

LIST: Final = frozenset(
    "ancestor before exited expose health id is-task isolation label name network publish since "
    "status volume".split()
)
_HEALTH: Final = ("starting", "healthy", "unhealthy", "none")


class Lookups(Struct, frozen=True, kw_only=True):
    """`created` of a container by name, raising NotFound; `ancestors` of an image, by id: the ids
    of images (its own too) that a container of them descends from."""

    created: Callable[[str], float]
    descends: Callable[[str, str], bool]  # image id of the container, image that was asked for


def wants_all(filters: Filters) -> bool:
    """These ask about containers that do not run, so those are looked at without --all."""
    return bool(filters.get("status") or filters.get("exited"))


def select(containers: Sequence[Container], filters: Filters, look: Lookups) -> list[Container]:
    """Those that pass, in their order. Raises InvalidInput, NotFound."""
    check(filters, LIST)
    tests = [_test(name, tuple(values), look) for name, values in filters.items() if values]
    return [one for one in containers if all(test(one) for test in tests)]


Test = Callable[[Container], bool]


def _test(name: str, values: tuple[str, ...], look: Lookups) -> Test:
    if name == "label":
        return lambda one: all(has_label(one.labels, text) for text in values)
    if name in ("before", "since"):
        return _time(name, values, look)
    if name == "ancestor":
        return lambda one: any(look.descends(one.image_id, text) for text in values)
    if name in ("id", "name"):
        return _pattern(name, values)
    make = {
        "exited": _exited,
        "expose": _exposed,
        "health": _healthy,
        "is-task": _task,
        "isolation": lambda _: lambda _one: True,  # of Windows; Docker lets it pass as well
        "network": _networked,
        "publish": _published,
        "status": _state,
        "volume": _mounted,
    }[name]
    return make(values)


def _time(name: str, values: tuple[str, ...], look: Lookups) -> Test:
    moments = [look.created(text) for text in values]
    if name == "before":
        return lambda one: one.created < min(moments)
    return lambda one: one.created > max(moments)


def _pattern(name: str, values: tuple[str, ...]) -> Test:
    """Regular expressions that may fit anywhere; names are tried with their slash too."""
    try:
        patterns = [re.compile(text) for text in values]
    except re.error as error:
        raise InvalidInput(f"invalid filter '{name}={','.join(values)}': {error}") from None

    def test(one: Container) -> bool:
        texts = (one.id,) if name == "id" else (one.name, f"/{one.name}")
        return any(pattern.search(text) for pattern in patterns for text in texts)

    return test


def _state(values: tuple[str, ...]) -> Test:
    for text in values:
        if text not in set(Status):
            raise InvalidInput(
                f"invalid filter 'status={text}'", hint=f"one of {', '.join(Status)}"
            )
    return lambda one: str(one.status) in values


def _exited(values: tuple[str, ...]) -> Test:
    for text in values:
        if not re.fullmatch(r"-?[0-9]+", text):
            raise InvalidInput(f"invalid filter 'exited={text}'", hint="an exit code")
    codes = {int(text) for text in values}

    def test(one: Container) -> bool:
        container = one
        return (
            not container.status.is_alive and container.started > 0 and container.exit_code in codes
        )

    return test


def _healthy(values: tuple[str, ...]) -> Test:
    for text in values:
        if text not in _HEALTH:
            raise InvalidInput(f"unrecognised filter value for health: {text}")
    return lambda one: (one.health or "none") in values


def _task(values: tuple[str, ...]) -> Test:
    """Nothing here is a task of a swarm."""
    wanted = boolean({"is-task": values}, "is-task")
    return lambda _one: not wanted


def _mounted(values: tuple[str, ...]) -> Test:
    """By a volume's name, a host path, or the place in the container."""
    return lambda one: any(
        text in (mount.source, mount.target) for mount in one.mounts for text in values
    )


def _networked(values: tuple[str, ...]) -> Test:
    return lambda one: any(name in values for name in one.networks)


def _published(values: tuple[str, ...]) -> Test:
    wanted = {port for text in values for port in ports("publish", text)}

    def test(one: Container) -> bool:
        asked = one.spec.ports if one.spec is not None else one.ports
        return any(f"{port.container_port}/{port.protocol}" in wanted for port in asked)

    return test


def _exposed(values: tuple[str, ...]) -> Test:
    wanted = {port for text in values for port in ports("expose", text)}
    return lambda one: not wanted.isdisjoint(one.exposed)


def ports(name: str, text: str) -> tuple[str, ...]:
    """`80`, `80/udp`, `8000-8080/tcp` as "80/tcp" strings. Raises InvalidInput."""
    try:
        return expand_ports(text)
    except (ValueError, InvalidInput):
        raise InvalidInput(
            f"invalid filter '{name}={text}'", hint="PORT[-PORT][/PROTOCOL]"
        ) from None
