"""`/containers`: everything that is no stream."""

from __future__ import annotations

from dockmagic_runtime.api.decode.container import container_spec
from dockmagic_runtime.api.decode.documents import decode
from dockmagic_runtime.api.decode.resources import resources, restart_policy
from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, document, empty
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.wire import container as wire
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.container import ResourceSettings, RestartSettings


def listing(service: Service, request: Request) -> Response:
    query, containers = request.query, service.engine.containers
    limit = query.integer("limit", -1)
    every = query.boolean("all") or limit > 0
    listed = list(containers.summaries(all=every, filters=query.filters()))
    listed = listed[:limit] if limit > 0 else listed
    if query.boolean("size"):
        for summary in listed:
            size = containers.size(summary["Id"])
            summary |= {"SizeRw": size.writable, "SizeRootFs": size.root}
    return document(listed)


def create(service: Service, request: Request) -> Response:
    source = request.document()
    spec = container_spec(request.query.text("name"), source, request.query.text("platform"))
    try:
        container = service.engine.containers.create(spec)
    except NotFound as error:
        error.message = _image_missing(error.message, spec.image)
        raise
    return document({"Id": container.id, "Warnings": []}, 201)


def _image_missing(message: str, image: str) -> str:
    """Docker's client pulls when this text says so; the reference has a tag in it."""
    if not message.startswith("No such image"):
        return message
    has_tag = ":" in image.rpartition("/")[2] or "@" in image
    return f"No such image: {image}" if has_tag else f"No such image: {image}:latest"


def inspect(service: Service, request: Request) -> Response:
    inspected = service.engine.containers.inspect(request["name"])
    if request.query.boolean("size"):
        size = service.engine.containers.size(request["name"])
        inspected |= {"SizeRw": size.writable, "SizeRootFs": size.root}
    inspected["ExecIDs"] = service.executions.of(inspected["Id"]) or None
    return document(go.document(go.decode(wire.InspectResponse, inspected)))


def start(service: Service, request: Request) -> Response:
    container = service.engine.containers.get(request["name"])
    if container.status in (Status.RUNNING, Status.RESTARTING):
        return empty(304)
    service.runs.start(container.id)
    return empty()


def stop(service: Service, request: Request) -> Response:
    containers = service.engine.containers
    container = containers.get(request["name"])
    if not container.status.is_alive:
        return empty(304)
    containers.stop(container.id, timeout=_timeout(request), signal=request.query.text("signal"))
    return empty()


def _timeout(request: Request) -> float | None:
    """Seconds, of which -1 is no limit; None where the container decides."""
    return request.query.integer("t") if request.query.text("t") else None


def restart(service: Service, request: Request) -> Response:
    service.engine.containers.restart(
        request["name"], timeout=_timeout(request), signal=request.query.text("signal")
    )
    return empty()


def kill(service: Service, request: Request) -> Response:
    service.engine.containers.kill(request["name"], request.query.text("signal") or "KILL")
    return empty()


def pause(service: Service, request: Request) -> Response:
    service.engine.containers.pause(request["name"])
    return empty()


def unpause(service: Service, request: Request) -> Response:
    service.engine.containers.unpause(request["name"])
    return empty()


def rename(service: Service, request: Request) -> Response:
    name = request.query.text("name")
    if not name:
        raise InvalidInput("Neither old nor new names may be empty")
    service.engine.containers.rename(request["name"], name.removeprefix("/"))
    return empty()


def update(service: Service, request: Request) -> Response:
    source = request.document()
    limits = resources(decode(ResourceSettings, source))
    policy = source.get("RestartPolicy") or {}
    restart = restart_policy(decode(RestartSettings, policy)) if policy.get("Name") else None
    warnings = service.engine.containers.update(request["name"], limits, restart)
    return document({"Warnings": list(warnings) or None})


def resize(service: Service, request: Request) -> Response:
    rows, columns = request.query.integer("h"), request.query.integer("w")
    service.engine.containers.resize(request["name"], rows, columns)
    return empty(200)


def remove(service: Service, request: Request) -> Response:
    query, containers = request.query, service.engine.containers
    if query.boolean("link"):
        containers.remove_link(request["name"])
    else:
        containers.remove(request["name"], force=query.boolean("force"), volumes=query.boolean("v"))
    return empty()


def remove_link(service: Service, request: Request) -> Response:
    service.engine.containers.remove_link(f"{request['container']}/{request['alias']}")
    return empty()


def top(service: Service, request: Request) -> Response:
    words = request.query.text("ps_args").split()
    table = service.engine.containers.top(request["name"], *words)
    return document(
        {"Titles": list(table.titles), "Processes": [list(row) for row in table.processes]}
    )


def changes(service: Service, request: Request) -> Response:
    kinds = {"C": 0, "A": 1, "D": 2}
    changed = service.engine.containers.diff(request["name"])
    return document(
        [{"Path": change.path, "Kind": kinds[change.kind]} for change in changed] or None
    )


def prune(service: Service, request: Request) -> Response:
    pruned = service.engine.containers.prune(request.query.filters())
    return document(
        {"ContainersDeleted": list(pruned.removed) or None, "SpaceReclaimed": pruned.reclaimed}
    )


def checkpoints(service: Service, request: Request) -> Response:
    raise HttpError(501, "checkpoints are not supported")


ROUTES = (
    Route("GET", "/containers/json", listing),
    Route("POST", "/containers/create", create),
    Route("POST", "/containers/prune", prune),
    Route("GET", "/containers/{name}/json", inspect),
    Route("GET", "/containers/{name}/top", top),
    Route("GET", "/containers/{name}/changes", changes),
    Route("POST", "/containers/{name}/start", start),
    Route("POST", "/containers/{name}/stop", stop),
    Route("POST", "/containers/{name}/restart", restart),
    Route("POST", "/containers/{name}/kill", kill),
    Route("POST", "/containers/{name}/pause", pause),
    Route("POST", "/containers/{name}/unpause", unpause),
    Route("POST", "/containers/{name}/rename", rename),
    Route("POST", "/containers/{name}/update", update),
    Route("POST", "/containers/{name}/resize", resize),
    Route("GET", "/containers/{name}/checkpoints", checkpoints),
    Route("POST", "/containers/{name}/checkpoints", checkpoints),
    Route("DELETE", "/containers/{name}", remove),
    Route("DELETE", "/containers/{container}/{alias}", remove_link),
)
