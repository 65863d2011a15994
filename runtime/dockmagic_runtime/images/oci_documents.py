"""OCI documents: image config, manifest, index. Strictly typed, from strangers.

The bytes that came are the truth: ids are their digests, and they are stored and passed on as they
are, so fields that are unknown here survive. Decoding only reads. `null` stands for "empty" in what
Go programs write. Source: OCI image spec, config.md, manifest.md, image-index.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import HealthCheck
from dockmagic_runtime.model.image import History, Image, ImageConfig
from dockmagic_runtime.model.reference import is_digest
from dockmagic_runtime.store.sha256 import hex_digest

MAX_MANIFEST: Final = 4 << 20
MANIFEST_TYPES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
StringList = list[str] | str | None  # Docker's old configs have a string for a list of one


class _Healthcheck(msgspec.Struct, rename="pascal"):
    """Docker's own addition to the OCI config. Times in nanoseconds, 0 for the default."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class _RunConfig(msgspec.Struct, rename="pascal"):
    user: str = ""
    exposed_ports: dict[str, Any] | None = None
    env: list[str] | None = None
    entrypoint: StringList = None
    cmd: StringList = None
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    shell: list[str] | None = None
    healthcheck: _Healthcheck | None = None


class _RootFs(msgspec.Struct):
    diff_ids: list[str] | None = None
    type: str = "layers"


class _History(msgspec.Struct):
    created: str | None = None
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class ConfigDocument(msgspec.Struct):
    """An image's config, as far as it is read here."""

    rootfs: _RootFs
    architecture: str = ""
    os: str = ""
    created: str | None = None
    config: _RunConfig | None = None
    history: list[_History] | None = None

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(self.rootfs.diff_ids or ())


class Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Manifest(msgspec.Struct, rename="camel"):
    config: Descriptor
    layers: list[Descriptor]
    schema_version: int
    media_type: str = ""


class Index(msgspec.Struct, rename="camel"):
    manifests: list[Descriptor]
    schema_version: int
    media_type: str = ""


class _Kind(msgspec.Struct, rename="camel"):
    """What a document could be, before it is believed to be anything."""

    media_type: str = ""
    manifests: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    layers: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


T = TypeVar("T")


def _decode(data: bytes, kind: type[T], what: str) -> T:
    if len(data) > MAX_MANIFEST:
        raise InvalidInput(f"the {what} has more than {MAX_MANIFEST} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the {what} is malformed: {error}") from None


def decode_config(data: bytes) -> ConfigDocument:
    """Raises InvalidInput for what is no image config, or names layers by no digest."""
    document = _decode(data, ConfigDocument, "image config")
    if document.rootfs.type != "layers":
        raise InvalidInput(f"the image config has a root of type {document.rootfs.type!r}")
    for diff_id in document.diff_ids:
        if not is_digest(diff_id):
            raise InvalidInput(f"the image config names a layer {diff_id!r}, which is no digest")
    return document


def decode_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """A manifest or an index: never both, and what `media_type` promised (CVE-2021-41190)."""
    kind = _decode(data, _Kind, "manifest")
    is_index = kind.manifests is not msgspec.UNSET
    if is_index == (kind.layers is not msgspec.UNSET):
        raise InvalidInput("the manifest is malformed: it must have either layers or manifests")
    types = INDEX_TYPES if is_index else MANIFEST_TYPES
    for stated in filter(None, (kind.media_type, media_type)):
        if stated not in types or (kind.media_type and stated != kind.media_type):
            raise InvalidInput(f"the manifest is not the {stated!r} that it is said to be")
    decoded: Manifest | Index = (
        _decode(data, Index, "manifest") if is_index else _decode(data, Manifest, "manifest")
    )
    for descriptor in _descriptors(decoded):
        if not is_digest(descriptor.digest) or descriptor.size < 0:
            raise InvalidInput(f"the manifest has a malformed descriptor: {descriptor.digest!r}")
    return decoded


def _descriptors(document: Manifest | Index) -> list[Descriptor]:
    if isinstance(document, Index):
        return document.manifests
    return [document.config, *document.layers]


def image_id(config: bytes) -> str:
    return f"sha256:{hex_digest(config)}"


def chain_id(parent: str, diff_id: str) -> str:
    """The identity of a layer on top of all those below it; `parent` is "" for the first."""
    if not parent:
        return diff_id
    return f"sha256:{hex_digest(f'{parent} {diff_id}'.encode())}"


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """The chain ids of an image's layers, bottom first."""
    chains: list[str] = []
    for diff_id in diff_ids:
        chains.append(chain_id(chains[-1] if chains else "", diff_id))
    return tuple(chains)


def to_image(
    identity: str, document: ConfigDocument, *, tags: tuple[str, ...], sizes: Sequence[int]
) -> Image:
    """The engine's view of an image; `sizes` are those of its layers, bottom first."""
    return Image(
        id=identity,
        tags=tags,
        created=timestamp(document.created),
        size=sum(sizes),
        config=_run_config(document.config or _RunConfig()),
        architecture=document.architecture,
        os=document.os,
        diff_ids=document.diff_ids,
        chain_ids=chain_ids(document.diff_ids),
        history=_history(document, sizes),
    )


def _run_config(config: _RunConfig) -> ImageConfig:
    return ImageConfig(
        env=tuple(config.env or ()),
        entrypoint=_strings(config.entrypoint),
        cmd=_strings(config.cmd),
        working_dir=config.working_dir,
        user=config.user,
        labels=config.labels or {},
        exposed_ports=tuple(config.exposed_ports or ()),
        volumes=tuple(config.volumes or ()),
        stop_signal=config.stop_signal,
        shell=_strings(config.shell),
        healthcheck=_healthcheck(config.healthcheck),
    )


def _healthcheck(document: _Healthcheck | None) -> HealthCheck | None:
    if document is None or not document.test:
        return None  # an empty test is that of the base image, which a config does not name
    return HealthCheck(
        test=tuple(document.test),
        interval=document.interval / 1e9,
        timeout=document.timeout / 1e9,
        start_period=document.start_period / 1e9,
        start_interval=document.start_interval / 1e9,
        retries=document.retries,
    )


def _strings(value: StringList) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _history(document: ConfigDocument, sizes: Sequence[int]) -> tuple[History, ...]:
    """Oldest first. Layers without a row (old builders wrote none) get one without words."""
    left = list(reversed(sizes))
    rows = [
        History(
            created=timestamp(row.created),
            created_by=row.created_by,
            size=0 if row.empty_layer or not left else left.pop(),
            empty_layer=row.empty_layer,
            comment=row.comment,
        )
        for row in document.history or ()
    ]
    created = timestamp(document.created)
    rows += [History(created=created, created_by="", size=size) for size in reversed(left)]
    return tuple(rows)


def timestamp(text: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0 for none, and for Go's zero time."""
    if not text or text.startswith("0001-01-01"):
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(f"the image config has a malformed time: {text!r}") from None
