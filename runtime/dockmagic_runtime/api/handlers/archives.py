"""Files of containers as archives: `archive`, `export`; and `commit`, which makes an image."""

from __future__ import annotations

import base64
import json
from typing import Final

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, Stream, document, empty
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.model.commit import CommitSpec
from dockmagic_runtime.model.container import PathStat
from dockmagic_runtime.model.times import rfc3339

TAR: Final = "application/x-tar"


def _path(request: Request) -> str:
    path = request.query.text("path")
    if not path:
        raise HttpError(400, "missing required parameter: path")
    return path


def _stat_header(stat: PathStat) -> tuple[str, str]:
    fields = {
        "name": stat.name,
        "size": stat.size,
        "mode": stat.go_mode,
        "mtime": rfc3339(stat.mtime),
        "linkTarget": stat.link_target,
    }
    return "X-Docker-Container-Path-Stat", base64.b64encode(json.dumps(fields).encode()).decode()


def stat(service: Service, request: Request) -> Response:
    status = service.engine.containers.path_stat(request["name"], _path(request))
    return Response(200, headers=[_stat_header(status)])


def get(service: Service, request: Request) -> Stream:
    status, tar = service.engine.containers.get_archive(request["name"], _path(request))
    return Stream(tar, TAR, headers=[_stat_header(status)])


def put(service: Service, request: Request) -> Response:
    query = request.query
    service.engine.containers.put_archive(
        request["name"],
        _path(request),
        request.body,
        copy_uid_gid=query.boolean("copyUIDGID"),
        no_overwrite_dir_non_dir=query.boolean("noOverwriteDirNonDir"),
    )
    return empty(200)


def export(service: Service, request: Request) -> Stream:
    tar = service.engine.containers.export(request["name"])
    return Stream(tar, "application/octet-stream")


def commit(service: Service, request: Request) -> Response:
    query = request.query
    repository, tag = query.text("repo"), query.text("tag")
    image = service.engine.containers.commit(
        query.text("container"),
        CommitSpec(
            reference=f"{repository}:{tag}" if repository and tag else repository,
            author=query.text("author"),
            message=query.text("comment"),
            changes=tuple(
                line for text in query.texts("changes") for line in text.splitlines() if line
            ),
            pause=query.boolean("pause", default=True),
        ),
    )
    return document({"Id": image.id}, 201)


ROUTES = (
    Route("HEAD", "/containers/{name}/archive", stat),
    Route("GET", "/containers/{name}/archive", get),
    Route("PUT", "/containers/{name}/archive", put),
    Route("GET", "/containers/{name}/export", export),
    Route("POST", "/commit", commit),
)
