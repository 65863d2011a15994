"""The engine's façade on dictionaries, and a process that runs nowhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from dockmagic_runtime.containers.ps.filters import Lookups, select, wants_all
from dockmagic_runtime.errors import Conflict, NotFound, ProcessFailed, StartFailed
from dockmagic_runtime.model.analysis import Anatomy, FileOrigin, FileVersion, Sharing, WastedFile
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    BuildStarted,
    StepDone,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.container import (
    Change,
    ChangeKind,
    Container,
    ContainerSpec,
    ExecSpec,
    LogLine,
    Resources,
    RestartPolicy,
    Stats,
    Status,
)
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.explanation import BuildExplanation, Explanation
from dockmagic_runtime.model.filters import Filters
from dockmagic_runtime.model.image import History, Image, Layer, LayerFile
from dockmagic_runtime.model.network import Network
from dockmagic_runtime.model.progress import PullDone, PullEvent, PullStatus
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.topology import Topology, Trace

from .values import NOW, make_explanation, make_image, make_topology, make_trace


@dataclass
class FakeProcess:
    """An attached process that writes what a test gave it, and records the calls."""

    id: str = "c" * 64
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

    def signal(self, signal: str) -> None:
        self.signals.append(signal)

    def detach(self) -> None:
        self.detached = True

    def wait(self) -> int:
        return self.code


class FakeFacet:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine


class FakeContainers(FakeFacet):
    def create(self, spec: ContainerSpec) -> Container:
        self.engine.calls.append(("create", spec))
        return self._make(spec, Status.CREATED)

    def _make(self, spec: ContainerSpec, status: Status) -> Container:
        name = spec.name or f"witty_hopper{len(self.engine.made)}"
        if name in self.engine.made:
            raise Conflict(f'Conflict. The container name "/{name}" is already in use')
        container = Container(
            id=f"{len(self.engine.made) + 1:02x}" * 32,
            name=name,
            image=spec.image,
            image_id=self.engine.images.get(spec.image).id,
            command=spec.command or ("httpd-foreground",),
            created=NOW + len(self.engine.made),
            status=status,
            started=NOW,
            ports=spec.ports,
            labels=spec.labels,
            ip_address="172.17.0.2",
            spec=spec,
        )
        self.engine.made[name] = container
        return container

    def start(self, name: str) -> Container:
        container = self.get(name)
        self.engine.made[container.name] = replace(container, status=Status.RUNNING)
        return self.engine.made[container.name]

    def start_attached(self, name: str) -> FakeProcess:
        self.start(name)
        return self.engine.process

    def run(self, spec: ContainerSpec, *, detach: bool = False) -> Any:
        self.engine.calls.append(("run_detached" if detach else "run", spec))
        if spec.command == ("missing",):
            raise StartFailed('exec: "missing": executable file not found in $PATH', exit_code=127)
        return self._make(spec, Status.RUNNING) if detach else self.engine.process

    def list(self, *, all: bool = False, filters: Filters | None = None) -> tuple[Container, ...]:
        all = all or wants_all(filters or {})
        containers = [
            container
            for container in reversed(self.engine.made.values())
            if all or container.status.is_alive
        ]
        look = Lookups(
            created=lambda name: self.get(name).created,
            descends=lambda image_id, text: self.engine.images.get(text).id == image_id,
        )
        return tuple(select(containers, filters or {}, look))

    def get(self, name: str) -> Container:
        for container in self.engine.made.values():
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

    def exec(self, name: str, spec: ExecSpec) -> FakeProcess:
        self.get(name)
        self.engine.calls.append(("exec", name, spec))
        return self.engine.process

    def stop(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        self.engine.calls.append(("stop", name, timeout, signal))
        container = self.get(name)
        self.engine.made[container.name] = replace(container, status=Status.EXITED, exit_code=143)

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
        self, name: str, resources: Resources, restart: RestartPolicy | None
    ) -> tuple[str, ...]:
        self.engine.calls.append(("update", name, resources, restart))
        self.get(name)
        return ("Your kernel does not support that.",) if resources.blkio_weight else ()

    def explain(self, name: str) -> Explanation:
        return make_explanation(self.get(name).id, name)

    def explain_process(self, process: FakeProcess) -> Explanation:
        return make_explanation(process.id, "")

    def wait(self, name: str) -> int:
        return self.get(name).exit_code

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        self.engine.calls.append(("remove", name, force, volumes))
        container = self.get(name)
        if container.status.is_alive and not force:
            raise Conflict(f'cannot remove container "/{container.name}": container is running')
        del self.engine.made[container.name]

    def rename(self, name: str, new_name: str) -> None:
        self.engine.calls.append(("rename", name, new_name))

    def pause(self, name: str) -> None:
        container = self.get(name)
        self.engine.made[container.name] = replace(container, status=Status.PAUSED)

    def unpause(self, name: str) -> None:
        container = self.get(name)
        self.engine.made[container.name] = replace(container, status=Status.RUNNING)

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


class FakeImages(FakeFacet):
    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]:
        self.engine.calls.append(("pull", reference))
        parsed = ImageReference.parse(reference)
        if parsed.repository.endswith("nope"):
            raise NotFound(f"pull access denied for {reference}, repository does not exist")
        yield PullStatus(status=f"Pulling from {parsed.repository}", id=parsed.tag)
        yield PullStatus(status="Downloading", id="0123456789ab", current=1, total=2)
        yield PullStatus(status="Pull complete", id="0123456789ab", current=2, total=2)
        yield PullStatus(status=f"Status: Downloaded newer image for {parsed.familiar}")
        image = make_image(parsed.canonical, "b")
        self.engine.known.append(image)
        yield PullDone(image=image, reference=reference)

    def list(self, *, all: bool = False) -> tuple[Image, ...]:
        return tuple(self.engine.known)

    def get(self, reference: str) -> Image:
        for image in self.engine.known:
            hexadecimal = image.id.removeprefix("sha256:")
            if reference == image.id or hexadecimal.startswith(reference):
                return image
            if ImageReference.parse(reference).canonical in image.tags:
                return image
        raise NotFound(f"No such image: {reference}")

    def inspect(self, reference: str) -> dict[str, Any]:
        image = self.get(reference)
        return {
            "Id": image.id,
            "RepoTags": list(image.tags),
            "RepoDigests": [f"httpd@sha256:{'e' * 64}"],
            "Config": {"Labels": None},
        }

    def history(self, reference: str) -> tuple[History, ...]:
        self.get(reference)
        return (
            History(created=NOW, created_by='CMD ["httpd-foreground"]', empty_layer=True),
            History(created=NOW, created_by="COPY . /usr/local/apache2/htdocs", size=1234),
        )

    def analyze(self, reference: str) -> Anatomy:
        files = tuple(LayerFile(path=f"/usr/bin/f{n}", kind="A", size=n) for n in range(500))
        layers = (
            Layer(
                diff_id="sha256:" + "1" * 64,
                chain_id="sha256:" + "2" * 64,
                created_by="ADD rootfs.tar /",
                size=10_000_000,
                files=files,
                shared_with=("docker.io/library/busybox:latest",),
                added=500,
            ),
            Layer(
                diff_id="sha256:" + "3" * 64,
                chain_id="sha256:" + "4" * 64,
                created_by="RUN echo '<script>alert(1)</script>'",
                size=20,
                files=(LayerFile(path="/etc/<b>motd</b>", kind="C", size=20),),
                changed=1,
            ),
        )
        wasted = WastedFile(
            path="/etc/<b>motd</b>", size=1_000_002, layer=1, hidden_by=2, is_removed=False
        )
        return Anatomy(
            image=self.get(reference),
            layers=layers,
            wasted=(wasted,),
            wasted_bytes=1_000_002,
            wasted_files=1,
        )

    def compare(self, first: str, second: str) -> Sharing:
        analysis = self.analyze(first)
        return Sharing(
            first=analysis.image,
            second=replace(analysis.image, tags=(second,)),
            common=analysis.layers[:1],
            only_first=analysis.layers[1:],
            only_second=(),
        )

    def file_history(self, reference: str, path: str) -> FileOrigin:
        return FileOrigin(
            image=self.get(reference),
            path=path,
            real_path=path,
            versions=(
                FileVersion(layer=1, created_by="ADD <i>", kind="A", type="file", mode=0o644),
                FileVersion(
                    layer=2,
                    created_by="RUN x",
                    kind="C",
                    type="file",
                    mode=0o600,
                    size=5,
                    digest="sha256:" + "9" * 64,
                    diff=("-old", "+<b>new\x1b[2J"),
                ),
            ),
        )

    def remove(self, reference: str, *, force: bool = False) -> tuple[str, ...]:
        self.engine.calls.append(("remove_image", reference, force))
        image = self.get(reference)
        self.engine.known.remove(image)
        return (f"Untagged: {reference}", f"Deleted: {image.id}")

    def tag(self, source: str, target: str) -> None:
        self.engine.calls.append(("tag", source, target))

    def build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        self.engine.calls.append(("build", request))
        yield BuildStarted(steps=2)
        yield StepStarted(number=1, instruction="FROM httpd", line=1)
        yield StepDone(number=1, cached=True, seconds=0)
        yield StepStarted(number=2, instruction="RUN make", line=2)
        yield StepOutput(number=2, stream="stdout", data=b"\x1b[2Jmaking <b>it</b>\n")
        if self.engine.build_fails:
            # stages go side by side: another step may be the last that has begun
            yield StepStarted(number=3, instruction="RUN other", line=3)
            yield StepOutput(number=3, stream="stdout", data=b"another stage\n")
            failure = ProcessFailed(
                'process "/bin/sh -c make" did not complete successfully: exit code: 2',
                exit_code=2,
            )
            failure.step, failure.excerpt = 2, "   2 | RUN make\n     | ^"
            raise failure
        yield StepDone(number=2, cached=False, seconds=1.5, size=2048)
        tags = tuple(ImageReference.parse(tag).canonical for tag in request.tags)
        image = replace(make_image("x", "d"), tags=tags)
        self.engine.known.append(image)
        yield BuildDone(image=image, tags=tags, seconds=1.6)


class FakeNetworks(FakeFacet):
    def list(self, filters: Any = None) -> tuple[Network, ...]:
        network = Network(id="1" * 64, name="front", driver="bridge", bridge="dmfront",
                       subnet="172.19.0.0/16", gateway="172.19.0.1", created=NOW)  # fmt: skip
        return (network,)

    def warning(self, name: str) -> str:
        return self.engine.dropped.get(name, "")

    def topology(self, name: str = "") -> Topology:
        self.engine.calls.append(("topology", name))
        return make_topology()

    def trace(self, target: str) -> Trace:
        return make_trace(target)

    def inspect(self, name: str) -> dict[str, Any]:
        raise NotFound(f"network {name} not found")


class FakeVolumes(FakeFacet):
    def inspect(self, name: str) -> dict[str, Any]:
        raise NotFound(f"get {name}: no such volume")


class FakeBuilds(FakeFacet):
    def explain(self, reference: str) -> BuildExplanation:
        self.engine.images.get(reference)
        raise NotFound(f"it is not known how {reference} was built")


class FakeSystem(FakeFacet):
    def events(
        self,
        *,
        since: float = 0,
        until: float = 0,
        filters: dict[str, list[str]] | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        self.engine.calls.append(("events", since, until, filters, follow))
        return iter(
            [
                Event(
                    type="container", action=action, id="c" * 64, time_ns=int(NOW) * 10**9,
                    attributes={"name": "web", "image": "httpd"},
                )
                for action in ("create", "start")
            ]
        )  # fmt: skip

    def info(self) -> dict[str, Any]:
        return {"Containers": len(self.engine.made), "Driver": "overlay2", "Warnings": ["none yet"]}


class FakeEngine:
    """The public API on dictionaries. `calls` is what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.made: dict[str, Container] = {}
        self.known = [make_image("docker.io/library/httpd:latest", "a")]
        self.process = FakeProcess(pieces=[("stdout", b"hello\n")])
        self.build_fails = False
        self.dropped: dict[str, str] = {}  # network -> warning that a firewall drops its packets
        self.closed = False
        self.containers = FakeContainers(self)
        self.images = FakeImages(self)
        self.networks = FakeNetworks(self)
        self.volumes = FakeVolumes(self)
        self.builds = FakeBuilds(self)
        self.system = FakeSystem(self)

    def close(self) -> None:
        self.closed = True
