"""`/exec`: made with one request, started with another, and inspected after its end."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime.api.attached import AttachedClient
from dockmagic_runtime.api.decode.documents import words
from dockmagic_runtime.api.executions import Execution
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import Response, document, empty
from dockmagic_runtime.api.routes import Route
from dockmagic_runtime.api.runs import Run, Viewer
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, StartFailed
from dockmagic_runtime.model.container import ExecSpec, Status


def create(service: Service, request: Request) -> Response:
    source = request.document()
    command = words(source.get("Cmd"), "Cmd")
    if not command:
        raise InvalidInput("no exec command specified")
    container = service.engine.containers.get(request["name"])
    if container.status is Status.PAUSED:
        raise Conflict(f"Container {request['name']} is paused, unpause the container before exec")
    if not container.status.is_alive:
        raise Conflict(f"container {container.id} is not running")
    spec = ExecSpec(
        command=tuple(command),
        env=tuple(words(source.get("Env"), "Env") or ()),
        working_dir=source.get("WorkingDir") or "",
        user=source.get("User") or "",
        tty=source.get("Tty") or False,
        open_stdin=source.get("AttachStdin") or False,
        privileged=source.get("Privileged") or False,
    )
    execution = Execution(container.id, spec, source)
    service.executions.add(execution)
    return document({"Id": execution.id}, 201)


def start(service: Service, request: Request) -> Response | None:
    source = request.document(optional=True)
    execution = service.executions.claim(request["id"])
    if source.get("Detach"):
        _begin(service, execution, [])
        return empty(200)
    client = AttachedClient(
        request,
        is_raw=execution.spec.tty,
        streams=frozenset(
            stream
            for stream in ("stdin", "stdout", "stderr")
            if execution.document.get(f"Attach{stream.capitalize()}")
        ),
        closes_stdin=execution.spec.open_stdin and not execution.spec.tty,
    )
    try:
        _serve(service, execution, client)
    finally:
        client.close()
    return None


def _serve(service: Service, execution: Execution, client: AttachedClient) -> None:
    """What keeps the program from starting is written to the stream, as moby does."""
    try:
        run, viewer = _prepared(service, execution)
    except DockmagicError as error:
        client.send("stdout", f"{error.message}\r\n".encode())
        return
    run.begin([viewer])
    client.serve(viewer)


def _prepared(service: Service, execution: Execution) -> tuple[Run, Viewer]:
    """Starts the program. Raises the engine's errors; the exec then has an exit code."""
    try:
        process = service.engine.containers.exec(execution.container_id, execution.spec)
    except DockmagicError as error:
        execution.finish(error.exit_code if isinstance(error, StartFailed) else 126)
        raise
    execution.process = process
    run = Run(process, execution.finish)
    return run, Viewer(run)


def _begin(service: Service, execution: Execution, viewers: list[Viewer]) -> None:
    run, _ = _prepared(service, execution)
    run.begin(viewers)


def resize(service: Service, request: Request) -> Response:
    execution = service.executions.get(request["id"])
    if execution.process is None or not execution.is_running:
        raise Conflict(f"exec {request['id']} is not running")
    execution.process.resize(request.query.integer("h"), request.query.integer("w"))
    return empty(200)


def inspect(service: Service, request: Request) -> Response:
    return document(_document(service.executions.get(request["id"])))


def _document(execution: Execution) -> dict[str, Any]:
    program, *arguments = execution.spec.command
    asked = execution.document
    return {
        "ID": execution.id,
        "Running": execution.is_running,
        "ExitCode": execution.exit_code,
        "ProcessConfig": {
            "tty": execution.spec.tty,
            "entrypoint": program,
            "arguments": arguments,
            "privileged": execution.spec.privileged,
            **({"user": execution.spec.user} if execution.spec.user else {}),
        },
        "OpenStdin": bool(asked.get("AttachStdin")),
        "OpenStderr": bool(asked.get("AttachStderr")),
        "OpenStdout": bool(asked.get("AttachStdout")),
        "CanRemove": False,
        "ContainerID": execution.container_id,
        "DetachKeys": "",
        "Pid": execution.process.pid if execution.process else 0,
    }


ROUTES = (
    Route("POST", "/containers/{name}/exec", create),
    Route("POST", "/exec/{id}/start", start),
    Route("POST", "/exec/{id}/resize", resize),
    Route("GET", "/exec/{id}/json", inspect),
)
