"""`/containers`: attach, logs, stats and wait, which last as long as a container may run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from dockmagic_runtime.api.attached import AttachedClient
from dockmagic_runtime.api.decode.moments import moment
from dockmagic_runtime.api.documents import stats as documents
from dockmagic_runtime.api.http import frames
from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, Stream, document, encoded
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.runs import Expectation
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.container import Container, Status

_LOOK: Final = 0.2  # seconds between looks at a container that another process may start
_INTERVAL: Final = 1.0  # seconds between samples, as moby's
_CONDITIONS: Final = ("not-running", "next-exit", "removed")

# --------------------------------------------------------------------------- attach


def attach(service: Service, request: Request) -> None:
    """Hijacks the connection, also before the container has started, until its end."""
    container = service.engine.containers.get(request["name"])
    if container.status is Status.PAUSED:
        raise Conflict(
            f"Container {request['name']} is paused, unpause the container before attach."
        )
    expectation = service.runs.expect(container.id)
    try:
        client = _client(request, container)
        try:
            _send_logs(service, request, container, client)
            if request.query.boolean("stream"):
                _serve(service, container, expectation, client)
        finally:
            client.close()
    finally:
        service.runs.forget(container.id, expectation)


def _client(request: Request, container: Container) -> AttachedClient:
    spec = container.spec
    return AttachedClient(
        request,
        is_raw=bool(spec and spec.tty),
        streams=frozenset(
            stream for stream in ("stdin", "stdout", "stderr") if request.query.boolean(stream)
        ),
        closes_stdin=bool(spec and spec.open_stdin and not spec.tty),
    )


def _send_logs(
    service: Service, request: Request, container: Container, client: AttachedClient
) -> None:
    if request.query.boolean("logs"):
        for stream, data in service.engine.containers.log_stream(container.id):
            client.send(stream, data)


def _serve(
    service: Service, container: Container, expectation: Expectation, client: AttachedClient
) -> None:
    """Connects the client to the present run, or to the next one."""
    containers = service.engine.containers
    while not client.is_gone:
        if expectation.wait(0 if container.status.is_alive else _LOOK):
            if expectation.viewer is not None:  # else its start has failed
                client.serve(expectation.viewer)
            return
        try:
            container = containers.get(container.id)
            if container.status.is_alive and service.runs.forget(container.id, expectation):
                _join(service, container, client)
                return
        except (Conflict, NotFound):
            return  # it has ended meanwhile


def _join(service: Service, container: Container, client: AttachedClient) -> None:
    """Beside other clients, from now on. Raises Conflict, NotFound."""
    process = service.engine.containers.attach(container.id)
    client.serve(process)
    process.close()


# ----------------------------------------------------------------------------- wait


def wait(service: Service, request: Request) -> Stream:
    condition = request.query.text("condition") or "not-running"
    if condition not in _CONDITIONS:
        raise HttpError(400, f'invalid condition: "{condition}"')
    container = service.engine.containers.get(request["name"])
    expectation = service.runs.expect(container.id)
    return Stream(_ending(service, request, container.id, condition, expectation))


def _ending(
    service: Service, request: Request, id: str, condition: str, expectation: Expectation
) -> Iterator[bytes]:
    """The status is sent at once: a client starts the container only when it has arrived."""
    yield b""
    try:
        code = _exit_code(service, request, id, condition, expectation)
    finally:
        service.runs.forget(id, expectation)
    if code is not None:
        yield encoded({"StatusCode": code})


def _exit_code(
    service: Service, request: Request, id: str, condition: str, expectation: Expectation
) -> int | None:
    """None when the client has gone."""
    code: int | None = None
    while code is None and not request.connection.is_gone:
        try:
            code = _look(service, id, condition, expectation)
        except TimeoutError:
            continue  # it goes on
        except NotFound:
            if not expectation.is_claimed:
                return 0  # it was removed and never ran, or ran elsewhere
    if code is None or condition != "removed":
        return code
    return _after_removal(service, request, id, code)


def _look(service: Service, id: str, condition: str, expectation: Expectation) -> int | None:
    """The exit code if it is known within a moment. Raises TimeoutError, NotFound."""
    if expectation.is_claimed:
        if not expectation.wait(_LOOK):
            return None
        return expectation.run.wait(_INTERVAL) if expectation.run else expectation.exit_code
    container = service.engine.containers.get(id)
    if container.status.is_alive:
        return service.engine.containers.wait(id, timeout=_INTERVAL)
    if _is_awaited(condition, container):
        expectation.wait(_LOOK)
        return None
    return container.exit_code


def _is_awaited(condition: str, container: Container) -> bool:
    """Whether the container has yet to start."""
    is_new = container.status is Status.CREATED
    return condition == "next-exit" or (condition == "removed" and is_new)


def _after_removal(service: Service, request: Request, id: str, code: int) -> int | None:
    pause = 0.001
    while not request.connection.is_gone:
        try:
            service.engine.containers.get(id)
        except NotFound:
            return code
        time.sleep(pause)
        pause = min(2 * pause, _LOOK)
    return None


# ----------------------------------------------------------------------------- logs


def logs(service: Service, request: Request) -> Stream:
    query = request.query
    wanted = {stream for stream in ("stdout", "stderr") if query.boolean(stream)}
    if not wanted:
        raise HttpError(400, "Bad parameters: you must choose at least one stream")
    container = service.engine.containers.get(request["name"])
    is_raw = bool(container.spec and container.spec.tty)
    output = service.engine.containers.log_stream(
        container.id,
        follow=query.boolean("follow"),
        tail=_tail(query.text("tail")),
        since=moment(request, "since"),
        until=moment(request, "until"),
        timestamps=query.boolean("timestamps"),
        is_cancelled=lambda: request.connection.is_gone,
    )
    pieces = (
        data if is_raw else frames.frame(stream, data)
        for stream, data in output
        if stream in wanted
    )
    return Stream(pieces, frames.media_type(is_raw=is_raw, version=request.version))


def _tail(text: str) -> int | None:
    """None for all: what is no number, as with moby."""
    try:
        return max(int(text), 0) if int(text) >= 0 else None
    except ValueError:
        return None


# ---------------------------------------------------------------------------- stats


def stats(service: Service, request: Request) -> Response | Stream:
    container = service.engine.containers.get(request["name"])
    if request.query.boolean("stream", default=True):
        return Stream(_samples(service, request, container))
    if request.query.boolean("one-shot"):
        return document(_sample(service, container))
    return document(next(_compared(service, container)))


def _sample(service: Service, container: Container) -> dict[str, object]:
    try:
        return documents.document(service.engine.containers.stats(container.id), None)
    except Conflict:
        return documents.idle(container)


def _compared(service: Service, container: Container) -> Iterator[dict[str, object]]:
    """Each sample with the one a second before."""
    containers, before = service.engine.containers, None
    while True:
        try:
            now = containers.stats(container.id)
        except Conflict:
            before = None
            yield documents.idle(container)
        else:
            if before is not None:
                yield documents.document(now, before)
            before = now
        time.sleep(_INTERVAL)


def _samples(service: Service, request: Request, container: Container) -> Iterator[bytes]:
    """The first at once; until the client has gone, or the container has been removed."""
    yield encoded(_sample(service, container))
    try:
        for sample in _compared(service, container):
            if request.connection.is_gone:
                return
            yield encoded(sample)
    except NotFound:
        return


ROUTES = (
    Route("POST", "/containers/{name}/attach", attach),
    Route("POST", "/containers/{name}/wait", wait),
    Route("GET", "/containers/{name}/logs", logs),
    Route("GET", "/containers/{name}/stats", stats),
)
