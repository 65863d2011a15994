"""`/volumes`."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, document, empty
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.volume import Volume


def listing(service: Service, request: Request) -> Response:
    volumes = service.engine.volumes
    listed = [_document(service, volume.name) for volume in volumes.list(request.query.filters())]
    return document({"Volumes": listed, "Warnings": None})


def _document(service: Service, name: str) -> dict[str, Any]:
    return go.document(go.decode(Volume, service.engine.volumes.inspect(name)))


def create(service: Service, request: Request) -> Response:
    source = request.document(optional=True)
    volume = service.engine.volumes.create(
        source.get("Name") or "",
        driver=source.get("Driver") or "local",
        labels=source.get("Labels") or {},
        driver_opts=source.get("DriverOpts") or {},
    )
    return document(_document(service, volume.name), 201)


def inspect(service: Service, request: Request) -> Response:
    return document(_document(service, request["name"]))


def update(service: Service, request: Request) -> Response:
    service.engine.volumes.get(request["name"])
    raise HttpError(400, "only cluster volumes can be updated, and there is no cluster")


def remove(service: Service, request: Request) -> Response:
    service.engine.volumes.remove(request["name"], force=request.query.boolean("force"))
    return empty()


def prune(service: Service, request: Request) -> Response:
    """Only anonymous volumes since API 1.42, unless `all` is filtered for."""
    filters = {name: list(values) for name, values in request.query.filters().items()}
    if request.version < (1, 42):
        filters.setdefault("all", ["true"])
    pruned = service.engine.volumes.prune(filters)
    return document(
        {"VolumesDeleted": list(pruned.names) or None, "SpaceReclaimed": pruned.reclaimed}
    )


ROUTES = (
    Route("GET", "/volumes", listing),
    Route("POST", "/volumes/create", create),
    Route("POST", "/volumes/prune", prune),
    Route("GET", "/volumes/{name}", inspect),
    Route("PUT", "/volumes/{name}", update),
    Route("DELETE", "/volumes/{name}", remove),
)
