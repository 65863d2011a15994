"""Which handler answers which method and path, and from and up to which version of the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import Struct

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request, Version
from dockmagic_runtime.api.service import Service

NEWEST: Final[Version] = (1, 50)
OLDEST: Final[Version] = (1, 24)
# what is older is answered as OLDEST, though not offered: Debian 12's skopeo speaks 1.22
ACCEPTED: Final[Version] = (1, 12)
_VERSIONED: Final = re.compile(r"/v([0-9]{1,4})\.([0-9]{1,4})(/.*)")


class Answer(Protocol):
    def send(self, connection: Any, common: Any, *, head_only: bool) -> None: ...


Handler = Callable[[Service, Request], Answer | None]


class Route(Struct, frozen=True):
    """`pattern` has the parts of a path; `{name}` is one that the handler gets, `{name...}` the
    rest with its slashes, as images' names have them."""

    method: str
    pattern: str
    handler: Handler
    since: Version = OLDEST

    def match(self, path: str) -> dict[str, str] | None:
        match = _compiled(self.pattern).fullmatch(path)
        return match.groupdict() if match else None


_patterns: dict[str, re.Pattern[str]] = {}


def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern not in _patterns:
        text = re.sub(r"\{(\w+)\.\.\.\}", r"(?P<\1>.+)", pattern)
        _patterns[pattern] = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text))
    return _patterns[pattern]


def split_version(path: str) -> tuple[Version, str]:
    """The version in front of a path, the newest without one, and the rest.

    Raises HttpError (400) in moby's words for a version that is not served.
    """
    match = _VERSIONED.fullmatch(path)
    if match is None:
        return NEWEST, path
    version = (int(match[1]), int(match[2]))
    if version > NEWEST:
        raise HttpError(
            400,
            f"client version {_text(version)} is too new. "
            f"Maximum supported API version is {_text(NEWEST)}",
        )
    if version < ACCEPTED:
        raise HttpError(
            400,
            f"client version {_text(version)} is too old. Minimum supported API version is "
            f"{_text(OLDEST)}, please upgrade your client to a newer version",
        )
    return max(version, OLDEST), match[3]


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = routes

    def find(self, request: Request) -> Handler:
        """The handler; the request gets the parts of its path. Raises HttpError (404, 405)."""
        method = "GET" if request.method == "HEAD" else request.method
        heads = request.method == "HEAD"
        others = False
        for route in self._routes:
            if request.version < route.since:
                continue
            arguments = route.match(request.path)
            if arguments is None:
                continue
            if route.method == request.method or (heads and route.method == method):
                request.arguments = arguments
                return route.handler
            others = True
        if others:
            raise HttpError(405, f"method {request.method} is not allowed for {request.path}")
        raise HttpError(404, "page not match")
