"""What registries answer to `search` and to `manifest inspect`."""

from __future__ import annotations

from msgspec import Struct


class SearchResult(Struct, frozen=True, kw_only=True):
    """One repository. A stand-in is one that the catalogue can make without a registry."""

    name: str
    description: str = ""
    stars: int = 0
    is_official: bool = False
    is_automated: bool = False
    is_stand_in: bool = False


class RemoteManifest(Struct, frozen=True, kw_only=True):
    """The manifest of one image, byte for byte, and the platform that it is said to be for."""

    reference: str
    media_type: str
    digest: str
    data: bytes
    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
