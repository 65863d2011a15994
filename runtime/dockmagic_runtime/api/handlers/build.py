"""`/build`, in the classic builder's stream; `/build/prune`; what only BuildKit has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from dockmagic_runtime.api.decode.resources import resources
from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, Stream, document, progress
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.model.build import (
    BuildCacheSpec,
    BuildDone,
    BuildRequest,
    BuildStarted,
    StepDone,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.filters import Filters
from dockmagic_runtime.model.times import parse_moment
from dockmagic_runtime.model.usage import CacheBounds
from dockmagic_runtime.wire.container import ResourceSettings

_SHM_SIZE: Final = 64 * 1024 * 1024  # bytes, as moby gives a build


def build(service: Service, request: Request) -> Stream:
    query = request.query
    remote = query.text("remote")
    if remote == "client-session" or query.text("session"):
        raise HttpError(501, "sessions of BuildKit are not supported: set DOCKER_BUILDKIT=0")
    asked = BuildRequest(
        dockerfile=None,
        context=remote or None,
        context_tar=None if remote else request.body,
        tags=tuple(query.texts("t")),
        file_name=query.text("dockerfile") or "Dockerfile",
        build_args=_arguments(query.document("buildargs", {})),
        labels=query.document("labels", {}) or {},
        target=query.text("target"),
        no_cache=query.boolean("nocache"),
        pull=query.boolean("pull"),
        network=query.text("networkmode") or "bridge",
        add_hosts=tuple(query.text("extrahosts").split(",")) if query.text("extrahosts") else (),
        resources=resources(
            ResourceSettings(
                Memory=query.integer("memory"),
                MemorySwap=query.integer("memswap"),
                CPUShares=query.integer("cpushares"),
                CPUPeriod=query.integer("cpuperiod"),
                CPUQuota=query.integer("cpuquota"),
                CpusetCpus=query.text("cpusetcpus"),
                CpusetMems=query.text("cpusetmems"),
            )
        ),
        cgroup_parent=query.text("cgroupparent"),
        cache_from=tuple(
            BuildCacheSpec(kind="registry", where=name, ignore_error=True)
            for name in query.document("cachefrom", []) or ()
        ),
        shm_size=query.integer("shmsize") or _SHM_SIZE,
    )
    return progress(_built(service, asked, is_quiet=query.boolean("q")))


def _arguments(source: Any) -> dict[str, str]:
    """null takes the value of the client's environment, which only the client has."""
    if not isinstance(source, dict):
        raise HttpError(400, "invalid buildargs")
    return {name: text for name, text in source.items() if isinstance(text, str)}


def _built(service: Service, request: BuildRequest, *, is_quiet: bool) -> Iterator[dict[str, Any]]:
    """A failed step is an error in the stream, as everything that happens after its beginning."""
    names: dict[int, str] = {}
    steps = number = 0
    for event in service.engine.images.build(request):
        if isinstance(event, BuildDone):
            yield {"aux": {"ID": event.image.id}}
            if is_quiet:
                yield {"stream": f"{event.image.id}\n"}
                return
            yield {"stream": f"Successfully built {event.image.short_id}\n"}
            for tag in event.tags:
                yield {"stream": f"Successfully tagged {_familiar(tag)}\n"}
        elif is_quiet:
            continue
        elif isinstance(event, BuildStarted):
            steps = sum(bool(step.instruction) for step in event.planned)
        elif isinstance(event, StepStarted) and event.instruction:
            number += 1
            names[event.number] = event.instruction
            yield {"stream": f"Step {number}/{max(steps, number)} : {event.instruction}\n"}
        elif isinstance(event, StepOutput) and event.number in names:
            yield {"stream": event.data.decode(errors="replace")}
        elif isinstance(event, StepDone) and event.number in names:
            if event.cached:
                yield {"stream": " ---> Using cache\n"}
            yield {"stream": f" ---> {event.chain_id.removeprefix('sha256:')[:12]}\n"}


def _familiar(tag: str) -> str:
    return tag.removeprefix("docker.io/").removeprefix("library/")


def prune(service: Service, request: Request) -> Response:
    query, filters = request.query, request.query.filters()
    size = query.integer("keep-storage") or query.integer("reserved-space")
    reclaimed = service.engine.builds.prune(
        unused_only=not query.boolean("all"),
        before=_until(filters),
        bounds=CacheBounds(
            reserved=size,
            max_used=query.integer("max-used-space"),
            min_free=query.integer("min-free-space"),
        ),
    )
    return document({"CachesDeleted": None, "SpaceReclaimed": reclaimed})


def _until(filters: Filters) -> float | None:
    texts = filters.get("until", ()) or filters.get("unused-for", ())
    try:
        return parse_moment(texts[0]) if texts else None
    except ValueError as error:
        raise HttpError(400, str(error)) from None


def cancel(service: Service, request: Request) -> Response:
    raise HttpError(404, "no build with this id: only sessions of BuildKit have one")


def session(service: Service, request: Request) -> Response:
    raise HttpError(
        501, "sessions of BuildKit are not supported: clients use the classic builder instead"
    )


ROUTES = (
    Route("POST", "/build", build),
    Route("POST", "/build/prune", prune),
    Route("POST", "/build/cancel", cancel),
    Route("POST", "/session", session),
    Route("POST", "/grpc", session),
)
