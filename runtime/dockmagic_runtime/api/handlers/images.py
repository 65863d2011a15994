"""`/images` but `/build`; `/distribution`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dockmagic_runtime.api.decode.credentials import registry_auth
from dockmagic_runtime.api.documents import images as documents
from dockmagic_runtime.api.filters import chosen_images
from dockmagic_runtime.api.handlers.archives import TAR
from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, Stream, Written, document, empty, progress
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.model.commit import ImportSpec
from dockmagic_runtime.model.progress import LoadDone, PullDone, PullStatus, PushDone
from dockmagic_runtime.registry import credentials
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire import image as wire


def listing(service: Service, request: Request) -> Response:
    chosen = chosen_images(
        service.engine, request.query.filters(), every=request.query.boolean("all")
    )
    images = service.engine.images
    return document(
        [documents.summary(image, images.inspect(image.id)["RepoDigests"]) for image in chosen]
    )


def create(service: Service, request: Request) -> Stream:
    """A pull (`fromImage`) or an import (`fromSrc`)."""
    query = request.query
    if query.text("fromSrc"):
        return _import(service, request)
    name, tag = query.text("fromImage"), query.text("tag")
    if not name:
        raise HttpError(400, "invalid reference format")
    separator = "@" if tag.startswith("sha256:") else ":"
    reference = f"{name}{separator}{tag}" if tag else name
    has_tag = bool(tag) or "@" in name or ":" in name.rpartition("/")[2]
    return progress(_pulled(service, request, reference, all_tags=not has_tag and not tag))


def _pulled(
    service: Service, request: Request, reference: str, *, all_tags: bool
) -> Iterator[dict[str, Any]]:
    with credentials.given(registry_auth(request)):
        for event in service.engine.images.pull(
            reference, all_tags=all_tags, platform=request.query.text("platform")
        ):
            if isinstance(event, PullStatus):
                yield _status(event)
            elif isinstance(event, PullDone):
                pass  # its line has come as a status


def _status(event: PullStatus) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": event.status}
    if event.id:
        detail = {"current": event.current, "total": event.total} if event.total else {}
        shown |= {"progressDetail": detail, "id": event.id}
    return shown


def _import(service: Service, request: Request) -> Stream:
    query = request.query
    if query.text("fromSrc") != "-":
        raise HttpError(501, "import from an address: download it, and send the archive")
    repository, tag = query.text("repo"), query.text("tag")
    spec = ImportSpec(
        reference=f"{repository}:{tag}" if repository and tag else repository,
        message=query.text("message") or "Imported from -",
        changes=tuple(query.texts("changes")),
    )
    image = service.engine.images.import_image(request.body, spec)
    return progress(iter([{"status": image.id}]))


def inspect(service: Service, request: Request) -> Response:
    inspected = service.engine.images.inspect(request["name"])
    return document(go.document(go.decode(wire.InspectResponse, inspected)))


def history(service: Service, request: Request) -> Response:
    images = service.engine.images
    image = images.get(request["name"])
    return document(documents.history(image, images.history(image.id)))


def tag(service: Service, request: Request) -> Response:
    repository, tag = request.query.text("repo"), request.query.text("tag")
    target = f"{repository}:{tag}" if tag else repository
    service.engine.images.tag(request["name"], target)
    return empty(201)


def push(service: Service, request: Request) -> Stream:
    name, tag = request["name"], request.query.text("tag")
    return progress(_pushed(service, request, f"{name}:{tag}" if tag else name, all_tags=not tag))


def _pushed(
    service: Service, request: Request, reference: str, *, all_tags: bool
) -> Iterator[dict[str, Any]]:
    with credentials.given(registry_auth(request)):
        for event in service.engine.images.push(reference, all_tags=all_tags):
            if isinstance(event, PullStatus):
                yield _status(event)
            elif isinstance(event, PushDone):
                tag = event.reference.rpartition(":")[2]
                yield {
                    "progressDetail": {},
                    "aux": {"Tag": tag, "Digest": event.digest, "Size": event.size},
                }


def remove(service: Service, request: Request) -> Response:
    lines = service.engine.images.remove(request["name"], force=request.query.boolean("force"))
    return document([_removal(line) for line in lines])


def _removal(line: str) -> dict[str, str]:
    """`Untagged: x` and `Deleted: y`, as an object each."""
    what, _, name = line.partition(": ")
    return {what: name}


def prune(service: Service, request: Request) -> Response:
    pruned = service.engine.images.prune(request.query.filters())
    return document(
        {
            "ImagesDeleted": [_removal(line) for line in pruned.removed] or None,
            "SpaceReclaimed": pruned.reclaimed,
        }
    )


def search(service: Service, request: Request) -> Response:
    results = service.engine.images.search(
        request.query.text("term"), limit=request.query.integer("limit", 25)
    )
    return document(
        [
            {
                "star_count": item.stars,
                "is_official": item.is_official,
                "name": item.name,
                "is_automated": item.is_automated,
                "description": item.description,
            }
            for item in results
        ]
    )


def save(service: Service, request: Request) -> Written:
    return _saved(service, list(request.query.texts("names")))


def save_one(service: Service, request: Request) -> Written:
    return _saved(service, [request["name"]])


def _saved(service: Service, names: list[str]) -> Written:
    """Raises NotFound, while that can still be the response's status."""
    for name in names:
        service.engine.images.get(name)
    return Written(lambda out: service.engine.images.save(names, out), TAR)


def load(service: Service, request: Request) -> Stream:
    return progress(_loaded(service, request))


def _loaded(service: Service, request: Request) -> Iterator[dict[str, Any]]:
    is_quiet = request.query.boolean("quiet")
    for event in service.engine.images.load(request.body):
        if isinstance(event, LoadDone):
            name = event.reference
            yield {
                "stream": f"Loaded image: {name}\n"
                if name
                else f"Loaded image ID: {event.image.id}\n"
            }
        elif not is_quiet:
            yield _status(event)


def distribution(service: Service, request: Request) -> Response:
    """The descriptor that a registry has under a name, and its platforms."""
    with credentials.given(registry_auth(request)):
        answer = service.engine.images.manifests(request["name"])
    manifests = answer if isinstance(answer, tuple) else (answer,)
    first = manifests[0]
    return document(
        {
            "Descriptor": {
                "mediaType": first.media_type,
                "digest": first.digest,
                "size": len(first.data),
            },
            "Platforms": [
                {
                    "architecture": manifest.architecture,
                    "os": manifest.os,
                    **({"variant": manifest.variant} if manifest.variant else {}),
                }
                for manifest in manifests
            ],
        }
    )


ROUTES = (
    Route("GET", "/images/json", listing),
    Route("POST", "/images/create", create),
    Route("GET", "/images/search", search),
    Route("GET", "/images/get", save),
    Route("POST", "/images/load", load),
    Route("POST", "/images/prune", prune),
    Route("GET", "/images/{name...}/json", inspect),
    Route("GET", "/images/{name...}/history", history),
    Route("GET", "/images/{name...}/get", save_one),
    Route("POST", "/images/{name...}/tag", tag),
    Route("POST", "/images/{name...}/push", push),
    Route("DELETE", "/images/{name...}", remove),
    Route("GET", "/distribution/{name...}/json", distribution),
)
