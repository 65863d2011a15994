"""Manifests and indexes of OCI and Docker schema 2: read strictly, chosen by platform.

Bytes that one reader takes for an image and another for an index are refused: the type in the
header, the one in the body and the fields must agree (CVE-2021-41190).
Sources: OCI image spec, `manifest.md`, `image-index.md`; Docker image manifest v2, schema 2.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

import msgspec
from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed, Unsupported
from dockmagic_runtime.model.reference import is_digest

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS: Final = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES: Final = (OCI_INDEX, DOCKER_LIST)
CONFIGS: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
LAYERS: Final = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
)
MANIFEST_LIMIT: Final = 4 << 20

_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1+"
_FOREIGN: Final = ("foreign", "nondistributable")
_MAX_LAYERS: Final = 1000
_MACHINES: Final = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "i386": ("386", ""),
    "loongarch64": ("loong64", ""),
}
_ARM: Final = ("v8", "v7", "v6", "v5")


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What an image runs on. An empty variant is any; the last two fields are Windows'."""

    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")

    @classmethod
    def host(cls) -> Platform:
        machine = os.uname().machine
        architecture, variant = _MACHINES.get(machine, (machine, ""))
        return cls(os="linux", architecture=architecture, variant=variant)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`os/architecture[/variant]`, as `--platform` takes it."""
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise InvalidInput(
                f"{text!r} is an invalid platform", hint="write it as linux/amd64 or linux/arm/v7"
            )
        system, machine, *variant = parts
        architecture, implied = _MACHINES.get(machine, (machine, ""))
        return cls(os=system, architecture=architecture, variant=variant[0] if variant else implied)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def rank(self, other: Platform) -> int | None:
        """How well an image for `other` runs here, 0 best; None if it does not."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return None
        if self.architecture == "arm":
            mine, its = _arm(self), _arm(other)
            return its - mine if its >= mine else None
        mine_, its_ = map(_variant, (self, other))
        return 0 if mine_ == its_ else 1 if not its_ else None


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Names content by digest and size."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    artifact_type: str = ""

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            raise ValueError(f"invalid digest {self.digest[:80]!r}")
        if self.size < 0:
            raise ValueError(f"invalid size {self.size}")


class _Document(msgspec.Struct, kw_only=True, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None
    fs_layers: msgspec.Raw | None = None


class Manifest(Struct, frozen=True, kw_only=True):
    """A manifest or an index with its exact bytes. Exactly one of `config`, `manifests` is set."""

    media_type: str
    digest: str
    data: bytes
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] | None = None

    @property
    def is_index(self) -> bool:
        return self.manifests is not None

    @classmethod
    def parse(cls, media_type: str, data: bytes) -> Manifest:
        """Raises RemoteFailed for what contradicts itself, Unsupported for what is too old."""
        _check_kind(media_type)
        document = _decode(data)
        if document.media_type not in ("", media_type):
            raise RemoteFailed(
                f"the manifest came as {media_type} and calls itself {document.media_type}"
            )
        if not document.media_type and not media_type.startswith("application/vnd.oci."):
            raise RemoteFailed(f"the manifest came as {media_type} and does not say what it is")
        _check_shape(media_type, document)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return cls(
            media_type=media_type,
            digest=digest,
            data=data,
            config=document.config,
            layers=document.layers or (),
            manifests=document.manifests,
        )


def _check_kind(media_type: str) -> None:
    if media_type.startswith(_SCHEMA_1):
        raise Unsupported(
            "the image has a manifest of Docker's schema 1, which is not supported any more",
            hint="push it again with a current Docker",
        )
    if media_type not in MANIFESTS + INDEXES:
        raise RemoteFailed(f"unsupported manifest media type {media_type[:80]!r}")


def _decode(data: bytes) -> _Document:
    try:
        return msgspec.json.decode(data, type=_Document)
    except msgspec.DecodeError as error:  # a ValidationError is one
        raise RemoteFailed(f"the manifest is malformed: {error}") from None


def _check_shape(media_type: str, document: _Document) -> None:
    if document.schema_version != 2 or document.fs_layers is not None:
        raise RemoteFailed(f"the manifest is malformed: schema {document.schema_version}")
    is_index = document.manifests is not None
    is_image = document.layers is not None or document.config is not None
    if is_index and is_image:
        raise RemoteFailed("the manifest is ambiguous: it is an image and an index at once")
    if is_index != (media_type in INDEXES):
        raise RemoteFailed(f"the manifest came as {media_type} and is not one")
    if not is_index and (document.config is None or document.layers is None):
        raise RemoteFailed("the manifest is malformed: it lacks its config or its layers")
    if len(document.layers or ()) > _MAX_LAYERS:
        raise RemoteFailed(f"the image has more than {_MAX_LAYERS} layers")


def resolve_platform(index: Manifest, platform: Platform) -> Descriptor:
    """The entry of an index that runs best on `platform`. Raises NotFound in Docker's words."""
    ranked = [
        (rank, number, entry)
        for number, entry in enumerate(index.manifests or ())
        if entry.media_type in MANIFESTS + INDEXES
        and (rank := platform.rank(entry.platform or Platform())) is not None
    ]
    if not ranked:
        offered = sorted(
            {str(entry.platform) for entry in index.manifests or () if _is_image(entry)}
        )
        raise NotFound(
            f"no matching manifest for {platform} in the manifest list entries",
            hint=f"there are {', '.join(offered)}" if offered else "",
        )
    return min(ranked, key=lambda entry: entry[:2])[2]


def _is_image(entry: Descriptor) -> bool:
    """Not an attestation, which stands beside the images as `unknown/unknown`."""
    return entry.platform is not None and entry.platform.os != "unknown"


def is_foreign(layer: Descriptor) -> bool:
    """Whether the registry need not have the layer itself."""
    return is_foreign_type(layer.media_type)


def is_foreign_type(media_type: str) -> bool:
    return any(word in media_type for word in _FOREIGN)


def _arm(platform: Platform) -> int:
    """A place in the order of ARM's variants; the newest come first."""
    variant = platform.variant or "v7"
    return _ARM.index(variant) if variant in _ARM else len(_ARM)


def _variant(platform: Platform) -> str:
    is_baseline = (platform.architecture, platform.variant) in (("arm64", "v8"), ("amd64", "v1"))
    return "" if is_baseline else platform.variant
