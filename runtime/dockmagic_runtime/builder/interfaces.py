"""Protocols of what the builder needs: running a process, mounting a tree, storing layers and
images."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol

from msgspec import field

from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.selective import Selective
from dockmagic_runtime.sandbox.operation import Operation

OnCancel = Callable[[Callable[[], None]], AbstractContextManager[None]]


def _not_cancelled(cancel: Callable[[], None]) -> AbstractContextManager[None]:
    return nullcontext()


class StepProcess(Selective, frozen=True, kw_only=True):
    """One RUN. `layers` are chain ids, topmost first; `upper` and `work` are empty directories.

    `network` is "bridge", "host" or "none". `user` is as in `USER`, to be resolved in the tree;
    `working_dir` is absolute and made if it is missing. `mounts` are carried out when the root is
    there, in order; `env` may hold secrets, so nothing of this is kept. `on_cancel` takes what
    ends the process from another thread, for as long as its context lasts.
    """

    not_shown: ClassVar[frozenset[str]] = frozenset({"env", "on_cancel"})
    not_compared: ClassVar[frozenset[str]] = frozenset({"on_cancel"})

    argv: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    layers: tuple[str, ...]
    upper: str
    work: str
    network: str
    shm_size: int = 64 * 1024 * 1024
    mounts: tuple[Operation, ...] = ()
    privileged: bool = False
    add_hosts: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    ulimits: dict[str, tuple[int, int]] = field(default_factory=dict)
    cgroup_parent: str = ""
    on_cancel: OnCancel = _not_cancelled


class StepRunner(Protocol):
    def run(self, process: StepProcess) -> Generator[tuple[str, bytes], None, int]:
        """Run to the end. Yields ("stdout" | "stderr", chunk), returns the exit code.

        Closing the generator early ends the process. Raises StartFailed when the command cannot
        be started. What it wrote is in `upper` afterwards, files of the engine's own not.
        """
        ...


class Workspace(Protocol):
    @property
    def target(self) -> str:
        """An empty directory of the Docker area, for kernels that need one to mount on."""
        ...

    def mounted(self, lowers: Sequence[str], upper: str, work: str) -> AbstractContextManager[Root]:
        """The merged tree of `lowers` (topmost first, at least one) and `upper`, writable."""
        ...


class LayerRecord(Protocol):
    """A layer that is kept: its identity and its unpacked size."""

    @property
    def chain_id(self) -> str: ...
    @property
    def diff_id(self) -> str: ...
    @property
    def size(self) -> int: ...


class Layers(Protocol):
    def path(self, chain_id: str) -> str:
        """The directory of an unpacked layer, to be used as an overlay's lower one."""
        ...

    def adopt(self, upper: str, parent: str) -> LayerRecord:
        """Make the upper directory a layer on top of the chain `parent` ("" for none).

        The directory is moved; it must be on the layers' file system.
        """
        ...

    def has(self, chain_id: str) -> bool: ...

    def add(
        self,
        stream: Readable,
        parent: str,
        *,
        expected_diff_id: str = "",
        limits: Limits | None = None,
    ) -> LayerRecord:
        """Unpack a layer's tar on top of the chain `parent`. Raises RemoteFailed for another."""
        ...

    def prune(self) -> int:
        """Remove the layers that nothing needs; the bytes of their files."""
        ...


class Images(Protocol):
    def resolve(self, reference: str) -> Image:
        """The image of that name or id. Raises NotFound."""
        ...

    def config(self, image_id: str) -> dict[str, Any]:
        """The image's whole OCI config document."""
        ...

    def put(self, config: bytes, chain_ids: Sequence[str]) -> Image:
        """Keep an image made of layers that are kept already. Idempotent: one id, one image."""
        ...

    def tag(self, image_id: str, reference: str) -> None:
        """Let the name point to the image, whatever it pointed to before."""
        ...
