"""Images as the engine shows them. The OCI wire formats live in the images room."""

# No annotations as texts: msgspec compiles each when it first uses the class, 10 us a field.

from typing import Final

from msgspec import Struct, field

from dockmagic_runtime.model.container import HealthCheck

STAND_IN_LABEL: Final = "org.dockmagic.stand-in"


class ImageConfig(Struct, frozen=True, kw_only=True):
    """The run-time part of an image's config (OCI image spec, `config`)."""

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    user: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    healthcheck: HealthCheck | None = None


class History(Struct, frozen=True, kw_only=True):
    """One row of `history`: `size` is that of the layer it made, 0 for metadata."""

    created: float
    created_by: str
    size: int = 0
    empty_layer: bool = False
    comment: str = ""


class Image(Struct, frozen=True, kw_only=True):
    """One image: `id` is the digest of its config, `tags` the names that point to it now."""

    id: str  # "sha256:<64 hex>"
    tags: tuple[str, ...]
    created: float
    size: int  # bytes of all layers, unpacked
    config: ImageConfig
    architecture: str
    os: str
    diff_ids: tuple[str, ...]
    chain_ids: tuple[str, ...]
    history: tuple[History, ...] = ()

    @property
    def short_id(self) -> str:
        return self.id.removeprefix("sha256:")[:12]

    @property
    def is_stand_in(self) -> bool:
        return STAND_IN_LABEL in self.config.labels


class LayerFile(Struct, frozen=True, kw_only=True):
    """One path a layer brings: `kind` is "A" added, "C" changed or "D" deleted."""

    path: str
    kind: str
    size: int = 0


class Layer(Struct, frozen=True, kw_only=True):
    """One layer of an image with the instruction that made it.

    `added`, `changed` and `removed` count all paths; `files` may stop before the last of them.
    """

    diff_id: str
    chain_id: str
    created_by: str
    size: int
    files: tuple[LayerFile, ...] = ()
    shared_with: tuple[str, ...] = ()  # tags of other images that contain the same chain
    added: int = 0
    changed: int = 0
    removed: int = 0
