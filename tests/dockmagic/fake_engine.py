"""The engine's public API on dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.build import (
    BuildRequest,
)
from dockmagic_runtime.model.container import (
    Container,
)
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.explanation import BuildExplanation, Explanation
from dockmagic_runtime.model.filters import Filters
from dockmagic_runtime.model.host_network import HostNetwork, NetworkWatch
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.manifest_list import Annotation
from dockmagic_runtime.model.network import Attachment, Network, NetworkSpec, PrunedNetworks
from dockmagic_runtime.model.outline import BuildOutline, BuildTarget
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.model.repair import Repair
from dockmagic_runtime.model.search import RemoteManifest
from dockmagic_runtime.model.topology import Topology, Trace
from dockmagic_runtime.model.usage import CacheBounds, DiskUsage
from dockmagic_runtime.model.volume import PrunedVolumes, Volume

from .fake_containers import FakeContainers, FakeProcess
from .fake_facet import FakeFacet
from .fake_images import FakeImages
from .values import NOW, make_image, make_topology, make_trace


class FakeNetworks(FakeFacet):
    def create(self, name: str | NetworkSpec, **fields: Any) -> Network:
        self.engine.calls.append(("create_network", name, fields))
        return self.list()[0]

    def get(self, name: str) -> Network:
        for network in self.list():
            if name in (network.name, network.id):
                return network
        raise NotFound(f"network {name} not found")

    def remove(self, name: str, *, force: bool = False) -> bool:
        self.get(name)
        self.engine.calls.append(("remove_network", name))
        return True

    def prune(self, filters: Filters | None = None) -> PrunedNetworks:
        return PrunedNetworks(names=())

    def connect(self, name: str, container: str, attachment: Attachment | None = None) -> None:
        self.engine.calls.append(("connect", name, container, attachment))

    def disconnect(self, name: str, container: str, *, force: bool = False) -> None:
        self.engine.calls.append(("disconnect", name, container))

    def list(self, filters: Filters | None = None) -> tuple[Network, ...]:
        network = Network(id="1" * 64, name="front", driver="bridge", bridge="dmfront",
                       subnet="172.19.0.0/16", gateway="172.19.0.1", created=NOW)  # fmt: skip
        return (network,)

    def warning(self, name: str) -> str:
        return self.engine.dropped.get(name, "")

    def topology(self, name: str = "") -> Topology:
        self.engine.calls.append(("topology", name))
        return make_topology()

    def host(self) -> HostNetwork:
        return HostNetwork()

    def watch(self, name: str = "", *, interval: float = 1.0) -> NetworkWatch:
        raise NotFound(f"network {name} not found")

    def trace(self, target: str) -> Trace:
        return make_trace(target)

    def inspect(self, name: str) -> dict[str, Any]:
        raise NotFound(f"network {name} not found")


class FakeManifests(FakeFacet):
    def create(
        self, name: str, images: Sequence[str], *, amend: bool = False, insecure: bool = False
    ) -> str:
        self.engine.calls.append(("create_manifest", name, tuple(images), amend, insecure))
        return f"docker.io/library/{name}:latest"

    def annotate(self, name: str, image: str, annotation: Annotation) -> None:
        self.engine.calls.append(("annotate", name, image, annotation))

    def get(self, name: str, image: str) -> RemoteManifest:
        raise NotFound(f"No such manifest: {image}")

    def list(self, name: str) -> tuple[RemoteManifest, ...]:
        raise NotFound(f"No such manifest: {name}")

    def push(
        self, name: str, *, purge: bool = False, insecure: bool = False
    ) -> Iterator[PullStatus]:
        self.engine.calls.append(("push_manifest", name, purge, insecure))
        yield PullStatus(status="sha256:" + "d" * 64)

    def remove(self, name: str) -> None:
        self.engine.calls.append(("remove_manifest", name))
        if name == "nosuch":
            raise NotFound(f"No such manifest: docker.io/library/{name}:latest")


class FakeVolumes(FakeFacet):
    def inspect(self, name: str) -> dict[str, Any]:
        raise NotFound(f"get {name}: no such volume")

    def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        driver_opts: Mapping[str, str] | None = None,
    ) -> Volume:
        self.engine.calls.append(("create_volume", name))
        return Volume(name=name, created=NOW, mountpoint=f"/volumes/{name}/_data")

    def list(self, filters: Filters | None = None) -> tuple[Volume, ...]:
        return ()

    def get(self, name: str) -> Volume:
        raise NotFound(f"get {name}: no such volume")

    def remove(self, name: str, *, force: bool = False) -> None:
        if not force:
            self.get(name)

    def prune(self, filters: Filters | None = None) -> PrunedVolumes:
        return PrunedVolumes(names=(), reclaimed=0)


class FakeBuilds(FakeFacet):
    def explain(self, reference: str) -> BuildExplanation:
        self.engine.images.get(reference)
        raise NotFound(f"it is not known how {reference} was built")

    def outline(self, request: BuildRequest) -> BuildOutline:
        target = BuildTarget(name="0", base="httpd")
        return BuildOutline(targets=(target,), target=target, arguments=(), secrets=(), ssh=())

    def failed(self, left: str = "") -> Image:
        raise NotFound("no build has failed")

    def prune(
        self,
        *,
        unused_only: bool = False,
        before: float | None = None,
        bounds: CacheBounds | None = None,
    ) -> int:
        self.engine.calls.append(("prune_builds", unused_only, before, bounds))
        return 0


class FakeSystem(FakeFacet):
    def df(self) -> DiskUsage:
        return DiskUsage(images=(), containers=(), volumes=(), build_cache=(), layers=0)

    def login(self, server: str, username: str, password: str) -> Path | None:
        self.engine.calls.append(("login", server, username))
        return None

    def check_login(self, server: str, username: str, password: str) -> None:
        self.engine.calls.append(("check_login", server, username))

    def logout(self, server: str) -> bool:
        return False

    def trace_starts(self, report: Callable[[Explanation], None]) -> None:
        pass  # nothing is started here

    def repair(self) -> Repair:
        return Repair(database="/area/state.db", changed=False, images=len(self.engine.known))

    def recover(self) -> None:
        self.engine.calls.append(("recover",))

    def dismantle(self) -> None:
        self.engine.calls.append(("dismantle",))

    def uninstall(self) -> None:
        self.engine.calls.append(("uninstall",))

    def events(
        self,
        *,
        since: float = 0,
        until: float = 0,
        filters: Filters | None = None,
        follow: bool = False,
        is_cancelled: Callable[[], bool] | None = None,
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
        return {
            "Containers": len(self.engine.created),
            "Driver": "overlay2",
            "Warnings": ["none yet"],
        }


class FakeEngine:
    """The public API on dictionaries. `calls` is what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.created: dict[str, Container] = {}
        self.known = [make_image("docker.io/library/httpd:latest", "a")]
        self.process = FakeProcess(pieces=[("stdout", b"hello\n")])
        self.build_fails = False
        self.dropped: dict[str, str] = {}  # network -> warning that a firewall drops its packets
        self.closed = False
        self.containers = FakeContainers(self)
        self.images = FakeImages(self)
        self.networks = FakeNetworks(self)
        self.volumes = FakeVolumes(self)
        self.manifests = FakeManifests(self)
        self.builds = FakeBuilds(self)
        self.system = FakeSystem(self)

    def close(self) -> None:
        self.closed = True
