"""`EngineApi`: what an engine offers, whatever it runs on.

`Engine` fulfils it in this process. An engine on another machine, behind Docker's REST API, is to
fulfil it too, and the tests' `FakeEngine` does. Commands, magics and widgets use nothing else. The
documentation of a method is in the class that `Engine` uses for it (`LocalContainers`, …); a test
compares all signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, overload

if TYPE_CHECKING:
    from dockmagic_runtime.containers.copy.copy import TarStream
    from dockmagic_runtime.images.compression import Readable
    from dockmagic_runtime.model.analysis import Anatomy, FileOrigin, Sharing
    from dockmagic_runtime.model.build import BuildEvent, BuildRequest
    from dockmagic_runtime.model.commit import CommitSpec, ImportSpec
    from dockmagic_runtime.model.container import (
        Change,
        Container,
        ContainerSpec,
        ExecSpec,
        LogLine,
        PathStat,
        ProcessTable,
        Resources,
        RestartPolicy,
        Stats,
    )
    from dockmagic_runtime.model.docker_event import Event
    from dockmagic_runtime.model.explanation import BuildExplanation, Explanation
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.host_network import HostNetwork, NetworkWatch
    from dockmagic_runtime.model.image import History, Image, Layer
    from dockmagic_runtime.model.manifest_list import Annotation
    from dockmagic_runtime.model.network import Attachment, Network, NetworkSpec, PrunedNetworks
    from dockmagic_runtime.model.outline import BuildOutline
    from dockmagic_runtime.model.progress import LoadEvent, PullEvent, PullStatus, PushEvent
    from dockmagic_runtime.model.repair import Repair
    from dockmagic_runtime.model.search import RemoteManifest, SearchResult
    from dockmagic_runtime.model.topology import Topology, Trace
    from dockmagic_runtime.model.usage import CacheBounds, ContainerSize, DiskUsage, Pruned
    from dockmagic_runtime.model.volume import PrunedVolumes, Volume


class ProcessApi(Protocol):
    """An attached container or exec. One thread reads its output; any thread writes.

    A process that is not waited for must be detached or closed.
    """

    @property
    def id(self) -> str:
        """The container's id."""

    @property
    def exec_id(self) -> str:
        """The exec's id; "" for the container's first process."""

    @property
    def pid(self) -> int:
        """As the host counts."""

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel has killed it for want of memory."""

    def output(self) -> Iterator[tuple[str, bytes]]:
        """Yields ("stdout" or "stderr", data) until the process has ended."""

    def write(self, data: bytes) -> None:
        """Writes to its standard input."""

    def close_stdin(self) -> None:
        """Ends its standard input."""

    def resize(self, rows: int, columns: int) -> None:
        """Sets the size of its terminal."""

    def signal(self, name: str) -> None:
        """Sends a signal: a name with or without SIG, or a number. Raises InvalidInput."""

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit code. Unread output is dropped.

        Args:
            timeout: Seconds. None: no limit.

        Raises:
            TimeoutError: It has not ended in that time.
        """

    def detach(self) -> None:
        """Leaves it running and closes the connection. Idempotent."""

    def abort(self) -> None:
        """Kills it and waits for its end. Idempotent."""

    def close(self) -> None:
        """Closes the connection; a process that its engine owns is killed. Idempotent."""


class LogStreamApi(Protocol):
    """The output that a container has logged, in blocks."""

    @property
    def damaged(self) -> int:
        """The number of damaged lines that were left out so far."""

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Yields ("stdout" or "stderr", data)."""


class ContainersApi(Protocol):
    """Create, run, inspect and remove containers."""

    def create(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        **fields: Any,
    ) -> Container: ...
    def start(self, name: str) -> Container: ...
    def start_attached(self, name: str, *, owned: bool = True) -> ProcessApi: ...
    @overload
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: Literal[False] = False,
        **fields: Any,
    ) -> ProcessApi: ...
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
    ) -> ProcessApi | Container: ...
    def attach(self, name: str) -> ProcessApi: ...
    def list(
        self, *, all: bool = False, filters: Filters | None = None
    ) -> tuple[Container, ...]: ...
    def summaries(
        self, *, all: bool = False, filters: Filters | None = None
    ) -> Sequence[dict[str, Any]]: ...
    def get(self, name: str) -> Container: ...
    def exec(
        self, name: str, command: str | Sequence[str] | ExecSpec, **fields: Any
    ) -> ProcessApi: ...
    def stop(self, name: str, *, timeout: float | None = None, signal: str = "") -> None: ...
    def restart(self, name: str, *, timeout: float | None = None, signal: str = "") -> None: ...
    def update(
        self,
        name: str,
        resources: Resources | None = None,
        restart: RestartPolicy | None = None,
    ) -> tuple[str, ...]: ...
    def kill(self, name: str, signal: str = "KILL") -> None: ...
    def wait(self, name: str, *, timeout: float | None = None) -> int: ...
    def resize(self, name: str, rows: int, columns: int) -> None: ...
    def pause(self, name: str) -> None: ...
    def unpause(self, name: str) -> None: ...
    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None: ...
    def remove_link(self, name: str) -> None: ...
    def rename(self, name: str, new_name: str) -> None: ...
    def prune(self, filters: Filters | None = None) -> Pruned: ...
    def inspect(self, name: str) -> dict[str, Any]: ...
    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float = 0,
        until: float = 0,
    ) -> Iterator[LogLine]: ...
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
    ) -> LogStreamApi: ...
    def explain(self, name: str) -> Explanation: ...
    def explain_process(self, process: ProcessApi) -> Explanation: ...
    def top(self, name: str, *words: str) -> ProcessTable: ...
    def stats(self, name: str) -> Stats: ...
    def diff(self, name: str) -> tuple[Change, ...]: ...
    def path_stat(self, name: str, path: str) -> PathStat: ...
    def list_directory(
        self, name: str, path: str, *, limit: int = 10_000
    ) -> tuple[PathStat, ...]: ...
    def get_archive(
        self, name: str, path: str, *, follow_link: bool = False, member: str = ""
    ) -> tuple[PathStat, TarStream]: ...
    def put_archive(
        self,
        name: str,
        path: str,
        tar: Readable,
        *,
        copy_uid_gid: bool = False,
        no_overwrite_dir_non_dir: bool = False,
    ) -> None: ...
    def export(self, name: str) -> TarStream: ...
    def commit(self, name: str, spec: CommitSpec | None = None) -> Image: ...
    def size(self, name: str) -> ContainerSize: ...


class ImagesApi(Protocol):
    """Pull, build, tag, push, load, save and analyze images."""

    def list(self, *, all: bool = False) -> tuple[Image, ...]: ...
    def get(self, reference: str) -> Image: ...
    def inspect(self, reference: str) -> dict[str, Any]: ...
    def history(self, reference: str) -> tuple[History, ...]: ...
    def layers(self, reference: str) -> tuple[Layer, ...]: ...
    def analyze(self, reference: str) -> Anatomy: ...
    def compare(self, first: str, second: str) -> Sharing: ...
    def file_history(self, reference: str, path: str) -> FileOrigin: ...
    def list_directory(
        self, reference: str, path: str, *, limit: int = 10_000
    ) -> tuple[PathStat, ...]: ...
    def tag(self, source: str, target: str) -> None: ...
    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]: ...
    def push(self, reference: str, *, all_tags: bool = False) -> Iterator[PushEvent]: ...
    def search(self, term: str, *, limit: int = 25) -> tuple[SearchResult, ...]: ...
    def stand_ins(self, term: str = "") -> tuple[SearchResult, ...]: ...
    def manifest(self, reference: str, *, insecure: bool = False) -> bytes: ...
    def manifests(
        self, reference: str, *, insecure: bool = False
    ) -> RemoteManifest | tuple[RemoteManifest, ...]: ...
    def build(self, request: BuildRequest) -> Iterator[BuildEvent]: ...
    def save(self, references: Sequence[str], out: BinaryIO) -> None: ...
    def load(self, source: Readable) -> Iterator[LoadEvent]: ...
    def import_image(self, tar: Readable, spec: ImportSpec | None = None) -> Image: ...
    def remove(self, reference: str, *, force: bool = False) -> tuple[str, ...]: ...
    def prune(self, filters: Filters | None = None) -> Pruned: ...


class NetworksApi(Protocol):
    """Create and connect networks, trace the routes of packets."""

    def create(self, name: str | NetworkSpec, **fields: Any) -> Network: ...
    def warning(self, name: str) -> str: ...
    def get(self, name: str) -> Network: ...
    def list(self, filters: Filters | None = None) -> tuple[Network, ...]: ...
    def inspect(self, name: str) -> dict[str, Any]: ...
    def topology(self, name: str = "") -> Topology: ...
    def host(self) -> HostNetwork: ...
    def watch(self, name: str = "", *, interval: float = 1.0) -> NetworkWatch: ...
    def trace(self, target: str) -> Trace: ...
    def remove(self, name: str, *, force: bool = False) -> bool: ...
    def prune(self, filters: Filters | None = None) -> PrunedNetworks: ...
    def connect(self, name: str, container: str, attachment: Attachment | None = None) -> None: ...
    def disconnect(self, name: str, container: str, *, force: bool = False) -> None: ...


class VolumesApi(Protocol):
    """Create, list and remove volumes."""

    def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        driver_opts: Mapping[str, str] | None = None,
    ) -> Volume: ...
    def list(self, filters: Filters | None = None) -> tuple[Volume, ...]: ...
    def get(self, name: str) -> Volume: ...
    def inspect(self, name: str) -> dict[str, Any]: ...
    def remove(self, name: str, *, force: bool = False) -> None: ...
    def prune(self, filters: Filters | None = None) -> PrunedVolumes: ...


class ManifestsApi(Protocol):
    """Put manifest lists together and push them."""

    def create(
        self, name: str, images: Sequence[str], *, amend: bool = False, insecure: bool = False
    ) -> str: ...
    def annotate(self, name: str, image: str, annotation: Annotation) -> None: ...
    def get(self, name: str, image: str) -> RemoteManifest: ...
    def list(self, name: str) -> tuple[RemoteManifest, ...]: ...
    def push(
        self, name: str, *, purge: bool = False, insecure: bool = False
    ) -> Iterator[PullStatus]: ...
    def remove(self, name: str) -> None: ...


class BuildsApi(Protocol):
    """Explain builds, and prune their cache."""

    def outline(self, request: BuildRequest) -> BuildOutline: ...
    def explain(self, reference: str) -> BuildExplanation: ...
    def failed(self, left: str = "") -> Image: ...
    def prune(
        self,
        *,
        unused_only: bool = False,
        before: float | None = None,
        bounds: CacheBounds | None = None,
    ) -> int: ...


class SystemApi(Protocol):
    """Facts, events, disk usage, credentials of registries."""

    def info(self) -> dict[str, Any]: ...
    def events(
        self,
        *,
        since: float = 0,
        until: float = 0,
        filters: Filters | None = None,
        follow: bool = False,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Event]: ...
    def df(self) -> DiskUsage: ...
    def login(self, server: str, username: str, password: str) -> Path | None: ...
    def check_login(self, server: str, username: str, password: str) -> None: ...
    def logout(self, server: str) -> bool: ...
    def trace_starts(self, report: Callable[[Explanation], None]) -> None: ...
    def repair(self) -> Repair: ...
    def recover(self) -> None: ...
    def dismantle(self) -> None: ...
    def uninstall(self) -> None: ...


class EngineApi(Protocol):
    """An engine. See `Engine` for the one in this process."""

    @property
    def containers(self) -> ContainersApi: ...
    @property
    def images(self) -> ImagesApi: ...
    @property
    def networks(self) -> NetworksApi: ...
    @property
    def volumes(self) -> VolumesApi: ...
    @property
    def manifests(self) -> ManifestsApi: ...
    @property
    def builds(self) -> BuildsApi: ...
    @property
    def system(self) -> SystemApi: ...
    def close(self) -> None:
        """Ends the connection to the engine. Idempotent."""
