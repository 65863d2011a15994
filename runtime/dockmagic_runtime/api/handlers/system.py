"""`/_ping`, `/version`, `/info`, `/events`, `/system/df`, `/auth`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dockmagic_runtime.api.decode.moments import moment
from dockmagic_runtime.api.documents import system
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, Stream, document, encoded
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.wire import event as wire
from dockmagic_runtime.wire import go

_UNCACHED = (
    ("Builder-Version", "1"),  # the classic builder: /session is not served
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)


def ping(service: Service, request: Request) -> Response:
    return Response(200, b"OK", "text/plain; charset=utf-8", _UNCACHED)


def version(service: Service, request: Request) -> Response:
    return document(go.document(system.version(service.release)))


def info(service: Service, request: Request) -> Response:
    return document(system.info(service.engine.system.info(), service.release))


def df(service: Service, request: Request) -> Response:
    usage = service.engine.system.df()
    report = system.disk_usage(usage, list(service.engine.containers.summaries(all=True)))
    return document(_chosen(report, request))


def _chosen(report: dict[str, Any], request: Request) -> dict[str, Any]:
    """`type` names the kinds of objects to report; the others are null."""
    wanted = set(request.query.texts("type"))
    if not wanted:
        return report
    keys = {
        "image": ("LayersSize", "Images"),
        "container": ("Containers",),
        "volume": ("Volumes",),
        "build-cache": ("BuildCache",),
    }
    kept = {key for kind in wanted for key in keys.get(kind, ())}
    absent = {key: 0 if key == "LayersSize" else None for key in report}
    return {**absent, **{key: report[key] for key in kept}}


def events(service: Service, request: Request) -> Stream:
    since, until = moment(request, "since"), moment(request, "until")
    happened = service.engine.system.events(
        since=since,
        until=until,
        filters=request.query.filters(),
        follow=True,
        is_cancelled=lambda: request.connection.is_gone,
    )
    return Stream(_documents(happened))


def _documents(events: Iterator[Event]) -> Iterator[bytes]:
    for event in events:
        yield encoded(go.document(go.decode(wire.Message, event.to_json())))


def auth(service: Service, request: Request) -> Response:
    """Whether a registry takes these credentials; the client keeps them itself."""
    source = request.document()
    service.engine.system.check_login(
        source.get("serveraddress", ""), source.get("username", ""), source.get("password", "")
    )
    return document({"Status": "Login Succeeded", "IdentityToken": ""})


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/events", events),
    Route("GET", "/system/df", df),
    Route("POST", "/auth", auth),
)
