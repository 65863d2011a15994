"""What belongs to a cluster or to plugins: Docker's answers on a machine that has neither."""

from __future__ import annotations

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, document
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service

_NO_MANAGER = (
    "This node is not a swarm manager. "
    'Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
)


def no_manager(service: Service, request: Request) -> Response:
    raise HttpError(503, _NO_MANAGER)


def no_swarm(service: Service, request: Request) -> Response:
    raise HttpError(501, "swarm mode is not supported: dockmagic is an engine of one machine")


def leave(service: Service, request: Request) -> Response:
    raise HttpError(503, "This node is not part of a swarm")


def no_plugins(service: Service, request: Request) -> Response:
    return document([])


def no_plugin(service: Service, request: Request) -> Response:
    raise HttpError(404, "plugins are not supported")


_MANAGED = ("services", "tasks", "nodes", "secrets", "configs")
ROUTES = (
    Route("GET", "/swarm", no_manager),
    Route("GET", "/swarm/unlockkey", no_manager),
    Route("POST", "/swarm/update", no_manager),
    Route("POST", "/swarm/unlock", no_manager),
    Route("POST", "/swarm/init", no_swarm),
    Route("POST", "/swarm/join", no_swarm),
    Route("POST", "/swarm/leave", leave),
    *(
        Route(method, f"/{kind}{rest}", no_manager)
        for kind in _MANAGED
        for method in ("GET", "POST", "DELETE")
        for rest in ("", "/{rest...}")
    ),
    Route("GET", "/plugins", no_plugins),
    *(Route(method, "/plugins/{rest...}", no_plugin) for method in ("GET", "POST", "DELETE")),
)
