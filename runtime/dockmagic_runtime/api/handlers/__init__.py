"""The operations of the API: a request in, one call of the engine, a response out."""

from __future__ import annotations

from dockmagic_runtime.api.handlers import (
    archives,
    build,
    containers,
    execs,
    images,
    networks,
    streams,
    swarm,
    system,
    volumes,
)
from dockmagic_runtime.api.routes import Route

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *containers.ROUTES,
    *streams.ROUTES,
    *execs.ROUTES,
    *archives.ROUTES,
    *images.ROUTES,
    *build.ROUTES,
    *networks.ROUTES,
    *volumes.ROUTES,
    *swarm.ROUTES,
)
