"""`/networks`."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime.api.decode.documents import decode
from dockmagic_runtime.api.decode.networks import attachment, network_spec
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, document, empty
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.network import EndpointSettings, Inspect


def listing(service: Service, request: Request) -> Response:
    """Without containers, as moby lists them."""
    networks = service.engine.networks
    inspected = networks.list(request.query.filters())
    return document(
        [_document(networks.inspect(network.id)) | {"Containers": {}} for network in inspected]
    )


def _document(inspected: dict[str, Any]) -> dict[str, Any]:
    return go.document(go.decode(Inspect, inspected))


def inspect(service: Service, request: Request) -> Response:
    return document(_document(service.engine.networks.inspect(request["name"])))


def create(service: Service, request: Request) -> Response:
    network = service.engine.networks.create(network_spec(request.document()))
    return document({"Id": network.id, "Warning": ""}, 201)


def remove(service: Service, request: Request) -> Response:
    service.engine.networks.remove(request["name"])
    return empty()


def connect(service: Service, request: Request) -> Response:
    source = request.document()
    endpoint = decode(EndpointSettings, source.get("EndpointConfig"))
    service.engine.networks.connect(
        request["name"], str(source.get("Container") or ""), attachment(request["name"], endpoint)
    )
    return empty(200)


def disconnect(service: Service, request: Request) -> Response:
    source = request.document()
    service.engine.networks.disconnect(
        request["name"], str(source.get("Container") or ""), force=bool(source.get("Force"))
    )
    return empty(200)


def prune(service: Service, request: Request) -> Response:
    pruned = service.engine.networks.prune(request.query.filters())
    return document({"NetworksDeleted": list(pruned.names) or None})


ROUTES = (
    Route("GET", "/networks", listing),
    Route("POST", "/networks/create", create),
    Route("POST", "/networks/prune", prune),
    Route("GET", "/networks/{name}", inspect),
    Route("DELETE", "/networks/{name}", remove),
    Route("POST", "/networks/{name}/connect", connect),
    Route("POST", "/networks/{name}/disconnect", disconnect),
)
