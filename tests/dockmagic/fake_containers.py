"""Containers on a dictionary, and a process that runs nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from msgspec.structs import replace

from dockmagic_runtime.containers.copy.copy import TarStream
from dockmagic_runtime.containers.ps.filters import Lookups, select, wants_all
from dockmagic_runtime.engine.interface import LogStreamApi, ProcessApi
from dockmagic_runtime.engine.keywords import container_spec, exec_spec
from dockmagic_runtime.errors import Conflict, NotFound, StartFailed
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.model.commit import CommitSpec
from dockmagic_runtime.model.container import (
    Change,
    ChangeKind,
    Container,
    ContainerSpec,
    ExecSpec,
    LogLine,
    PathStat,
    ProcessTable,
    Resources,
    RestartPolicy,
    Stats,
    Status,
)
from dockmagic_runtime.model.explanation import Explanation
from dockmagic_runtime.model.filters import Filters
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.usage import ContainerSize, Pruned

from .fake_facet import FakeFacet
from .values import NOW, make_directory, make_explanation, make_image


@dataclass
class FakeProcess:
    """An attached process that writes what a test gave it, and records the calls."""

    id: str = "c" * 64
    exec_id: str = ""
    pid: int = 7
    oom_killed: bool = False
    pieces: list[tuple[str, bytes]] = field(default_factory=list)
    code: int = 0
    stdin: bytearray = field(default_factory=bytearray)
    signals: list[str] = field(default_factory=list)
    closed: bool = False
    detached: bool = False
    sizes: list[tuple[int, int]] = field(default_factory=list)
    waits_for: str = ""  # goes on until it gets this signal
    echoes: bool = False  # writes what it read, at the end of its input

    def output(self) -> Iterator[tuple[str, bytes]]:
        yield from self.pieces
        while self.waits_for and self.waits_for not in self.signals and not self.detached:
            time.sleep(0.002)
        while self.echoes and not self.closed:
            time.sleep(0.002)
        if self.echoes:
            yield "stdout", bytes(self.stdin)

    def write(self, data: bytes) -> None:
        self.stdin += data

    def close_stdin(self) -> None:
        self.closed = True

    def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    def signal(self, name: str) -> None:
        self.signals.append(name)

    def detach(self) -> None:
        self.detached = True

    def wait(self, timeout: float | None = None) -> int:
        return self.code

    def abort(self) -> None:
        self.signals.append("KILL")

    def close(self) -> None:
        self.detached = True


class FakeLog(list[tuple[str, bytes]]):
    damaged = 0


class FakeContainers(FakeFacet):
    def create(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        **fields: Any,
    ) -> Container:
        spec = _spec(image, command, fields)
        self.engine.calls.append(("create", spec))
        return self._add(spec, Status.CREATED)

    def _add(self, spec: ContainerSpec, status: Status) -> Container:
        name = spec.name or f"witty_hopper{len(self.engine.created)}"
        if name in self.engine.created:
            raise Conflict(f'Conflict. The container name "/{name}" is already in use')
        container = Container(
            id=f"{len(self.engine.created) + 1:02x}" * 32,
            name=name,
            image=spec.image,
            image_id=self.engine.images.get(spec.image).id,
            command=spec.command or ("httpd-foreground",),
            created=NOW + len(self.engine.created),
            status=status,
            started=NOW,
            ports=spec.ports,
            labels=spec.labels,
            ip_address="172.17.0.2",
            spec=spec,
        )
        self.engine.created[name] = container
        return container

    def start(self, name: str) -> Container:
        container = self.get(name)
        self.engine.created[container.name] = replace(container, status=Status.RUNNING)
        return self.engine.created[container.name]

    def start_attached(self, name: str, *, owned: bool = True) -> FakeProcess:
        self.start(name)
        return self.engine.process

    @overload
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: Literal[False] = False,
        **fields: Any,
    ) -> FakeProcess: ...
    @overload
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: Literal[True],
        **fields: Any,
    ) -> Container: ...
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: bool = False,
        **fields: Any,
    ) -> FakeProcess | Container:
        spec = _spec(image, command, fields)
        self.engine.calls.append(("run_detached" if detach else "run", spec))
        if spec.command == ("missing",):
            raise StartFailed('exec: "missing": executable file not found in $PATH', exit_code=127)
        return self._add(spec, Status.RUNNING) if detach else self.engine.process

    def list(self, *, all: bool = False, filters: Filters | None = None) -> tuple[Container, ...]:
        all = all or wants_all(filters or {})
        containers = [
            container
            for container in reversed(self.engine.created.values())
            if all or container.status.is_alive
        ]
        look = Lookups(
            created=lambda name: self.get(name).created,
            descends=lambda image_id, text: self.engine.images.get(text).id == image_id,
        )
        return tuple(select(containers, filters or {}, look))

    def summaries(
        self, *, all: bool = False, filters: Filters | None = None
    ) -> Sequence[dict[str, Any]]:
        return [
            {"Id": container.id, "Names": [f"/{container.name}"], "State": str(container.status)}
            for container in self.list(all=all, filters=filters)
        ]

    def resize(self, name: str, rows: int, columns: int) -> None:
        self.engine.calls.append(("resize", name, rows, columns))

    def get(self, name: str) -> Container:
        for container in self.engine.created.values():
            if name in (container.name, container.id, container.short_id):
                return container
        raise NotFound(f"No such container: {name}")

    def inspect(self, name: str) -> dict[str, Any]:
        container = self.get(name)
        return {
            "Id": container.id,
            "Name": f"/{container.name}",
            "State": {"Status": str(container.status), "Running": container.status.is_alive},
            "Config": {"Labels": container.labels, "Env": ["PATH=/bin"]},
        }

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float = 0,
        until: float = 0,
    ) -> Iterator[LogLine]:
        self.get(name)
        lines = [
            LogLine("stdout", "2026-01-01T00:00:00Z", b"\x1b[31mred\x1b[0m\x1b]52;c;eA==\x07\n"),
            LogLine("stderr", "2026-01-01T00:00:01Z", b"<script>alert(1)</script>\n"),
        ]
        return iter(lines if tail is None else lines[len(lines) - tail :])

    def log_stream(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float = 0,
        until: float = 0,
        timestamps: bool = False,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> LogStreamApi:
        lines = self.logs(name, follow=follow, tail=tail, since=since, until=until)
        return FakeLog(
            (line.stream, (f"{line.time} ".encode() if timestamps else b"") + line.text)
            for line in lines
        )

    def exec(
        self, name: str, command: str | Sequence[str] | ExecSpec, **fields: Any
    ) -> FakeProcess:
        self.get(name)
        spec = command if isinstance(command, ExecSpec) else exec_spec(command, fields)
        self.engine.calls.append(("exec", name, spec))
        return self.engine.process

    def stop(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        self.engine.calls.append(("stop", name, timeout, signal))
        container = self.get(name)
        self.engine.created[container.name] = replace(
            container, status=Status.EXITED, exit_code=143
        )

    def kill(self, name: str, signal: str = "KILL") -> None:
        self.engine.calls.append(("kill", name, signal))
        self.get(name)

    def attach(self, name: str) -> FakeProcess:
        self.engine.calls.append(("attach", name))
        self.get(name)
        return self.engine.process

    def restart(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        self.engine.calls.append(("restart", name, timeout, signal))
        self.start(name)

    def update(
        self,
        name: str,
        resources: Resources | None = None,
        restart: RestartPolicy | None = None,
    ) -> tuple[str, ...]:
        self.engine.calls.append(("update", name, resources, restart))
        self.get(name)
        return (
            ("Your kernel does not support that.",) if resources and resources.blkio_weight else ()
        )

    def explain(self, name: str) -> Explanation:
        return make_explanation(self.get(name).id, name)

    def explain_process(self, process: ProcessApi) -> Explanation:
        return make_explanation(process.id, "")

    def wait(self, name: str, *, timeout: float | None = None) -> int:
        return self.get(name).exit_code

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        self.engine.calls.append(("remove", name, force, volumes))
        container = self.get(name)
        if container.status.is_alive and not force:
            raise Conflict(f'cannot remove container "/{container.name}": container is running')
        del self.engine.created[container.name]

    def rename(self, name: str, new_name: str) -> None:
        self.engine.calls.append(("rename", name, new_name))

    def pause(self, name: str) -> None:
        container = self.get(name)
        self.engine.created[container.name] = replace(container, status=Status.PAUSED)

    def unpause(self, name: str) -> None:
        container = self.get(name)
        self.engine.created[container.name] = replace(container, status=Status.RUNNING)

    def diff(self, name: str) -> tuple[Change, ...]:
        self.get(name)
        return (
            Change("/etc", ChangeKind.CHANGED),
            Change("/etc/motd", ChangeKind.ADDED),
            Change("/srv/<img src=x>", ChangeKind.DELETED),
        )

    def stats(self, name: str) -> Stats:
        container = self.get(name)
        if not container.status.is_alive:
            raise Conflict(f"Container {container.id} is not running")
        return Stats(
            id=container.id, name=container.name, time=NOW, cpu_ns=5, cpu_percent=12.5,
            memory_bytes=3 << 20, memory_limit=1 << 30, network_rx=1500, network_tx=0,
            block_read=0, block_write=4096, pids=7,
        )  # fmt: skip

    def remove_link(self, name: str) -> None:
        self.engine.calls.append(("remove_link", name))

    def prune(self, filters: Filters | None = None) -> Pruned:
        self.engine.calls.append(("prune", filters))
        return Pruned(removed=(), reclaimed=0)

    def top(self, name: str, *words: str) -> ProcessTable:
        self.get(name)
        return ProcessTable(titles=("PID", "CMD"), processes=(("1", "httpd"),))

    def path_stat(self, name: str, path: str) -> PathStat:
        self.get(name)
        raise NotFound(f"Could not find the file {path} in container {name}")

    def list_directory(self, name: str, path: str, *, limit: int = 10_000) -> tuple[PathStat, ...]:
        self.get(name)
        return make_directory(path)

    def get_archive(
        self, name: str, path: str, *, follow_link: bool = False, member: str = ""
    ) -> tuple[PathStat, TarStream]:
        return self.path_stat(name, path), self.export(name)

    def put_archive(
        self,
        name: str,
        path: str,
        tar: Readable,
        *,
        copy_uid_gid: bool = False,
        no_overwrite_dir_non_dir: bool = False,
    ) -> None:
        self.engine.calls.append(("put_archive", name, path, tar.read(1 << 30)))

    def export(self, name: str) -> TarStream:
        self.get(name)
        return TarStream(iter([b"an archive"]), lambda: None)

    def commit(self, name: str, spec: CommitSpec | None = None) -> Image:
        self.engine.calls.append(("commit", name, spec))
        return make_image(spec.reference if spec else "", "e")

    def size(self, name: str) -> ContainerSize:
        self.get(name)
        return ContainerSize(writable=5, root=1005)


def _spec(
    image: str | ContainerSpec, command: str | Sequence[str] | None, fields: dict[str, Any]
) -> ContainerSpec:
    return image if isinstance(image, ContainerSpec) else container_spec(image, command, fields)
