"""Images in Docker's Engine API 1.50. Fields and types are those of moby's api/types/image."""

from __future__ import annotations

from typing import Any, ClassVar

from dockmagic_runtime.wire.container import HealthConfig
from dockmagic_runtime.wire.go import ZERO_TIME, Empty, GoStruct, Time
from dockmagic_runtime.wire.storage import DriverData

Strings = list[str] | None
StringMap = dict[str, str] | None


class ImageConfig(GoStruct, frozen=True, kw_only=True):
    """The OCI image config with Docker's extensions."""

    go_type: ClassVar[str] = "v1.DockerOCIImageConfig"
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        "User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal ArgsEscaped "
        "Healthcheck OnBuild Shell".split()
    )

    User: str = ""
    ExposedPorts: dict[str, Empty] | None = None
    Env: Strings = None
    Entrypoint: Strings = None
    Cmd: Strings = None
    Volumes: dict[str, Empty] | None = None
    WorkingDir: str = ""
    Labels: StringMap = None
    StopSignal: str = ""
    ArgsEscaped: bool = False
    Healthcheck: HealthConfig | None = None
    OnBuild: Strings = None
    Shell: Strings = None


class RootFilesystem(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "image.RootFS"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Type", "Layers"})

    Type: str = ""
    Layers: Strings = None


class ImageMetadata(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "image.Metadata"

    LastTagTime: Time = ZERO_TIME


class InspectResponse(GoStruct, frozen=True, kw_only=True):
    """`GET /images/{name}/json`. Size in bytes."""

    go_type: ClassVar[str] = "image.InspectResponse"
    json_names: ClassVar[dict[str, str]] = {"ID": "Id"}
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        "Created Variant OsVersion VirtualSize Container ContainerConfig Descriptor "
        "Manifests".split()
    )

    ID: str = ""
    RepoTags: Strings = None
    RepoDigests: Strings = None
    Parent: str = ""
    Comment: str = ""
    Created: str = ""
    Container: str = ""
    ContainerConfig: Any = None
    DockerVersion: str = ""
    Author: str = ""
    Config: ImageConfig | None = None
    Architecture: str = ""
    Variant: str = ""
    Os: str = ""
    OsVersion: str = ""
    Size: int = 0
    VirtualSize: int = 0
    GraphDriver: DriverData = DriverData()
    RootFS: RootFilesystem = RootFilesystem()
    Metadata: ImageMetadata = ImageMetadata()
    Descriptor: Any = None
    Manifests: list[Any] | None = None


class Summary(GoStruct, frozen=True, kw_only=True):
    """One element of `GET /images/json`. Created in seconds since the epoch, sizes in bytes."""

    go_type: ClassVar[str] = "image.Summary"
    json_names: ClassVar[dict[str, str]] = {"ID": "Id", "ParentID": "ParentId"}
    omit_empty: ClassVar[frozenset[str]] = frozenset({"VirtualSize", "Descriptor", "Manifests"})

    Containers: int = 0
    Created: int = 0
    ID: str = ""
    Labels: StringMap = None
    ParentID: str = ""
    Descriptor: Any = None
    Manifests: list[Any] | None = None
    RepoDigests: Strings = None
    RepoTags: Strings = None
    SharedSize: int = 0
    Size: int = 0
    VirtualSize: int = 0


class HistoryResponseItem(GoStruct, frozen=True, kw_only=True):
    """One element of `GET /images/{name}/history`."""

    go_type: ClassVar[str] = "image.HistoryResponseItem"
    json_names: ClassVar[dict[str, str]] = {"ID": "Id"}

    Comment: str = ""
    Created: int = 0
    CreatedBy: str = ""
    ID: str = ""
    Size: int = 0
    Tags: Strings = None
