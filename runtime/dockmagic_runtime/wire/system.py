"""The engine in Docker's Engine API 1.50: `GET /info`, `GET /version`, and what the client adds.

Fields, order and types are those of moby's api/types/system and of docker/cli's `info` and
`version` commands, whose templates see both.
"""

from __future__ import annotations

from typing import Any, ClassVar

from dockmagic_runtime.wire.go import GoStruct

Strings = list[str] | None
Pairs = list[list[str] | None] | None


class PluginsInfo(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.PluginsInfo"

    Volume: Strings = None
    Network: Strings = None
    Authorization: Strings = None
    Log: Strings = None


class Commit(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.Commit"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Expected"})

    ID: str = ""
    Expected: str = ""


class OciRuntime(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.Runtime"
    json_names: ClassVar[dict[str, str]] = {
        "Path": "path",
        "Args": "runtimeArgs",
        "Type": "runtimeType",
        "Options": "options",
    }
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Path", "Args", "Type", "Options"})

    Path: str = ""
    Args: Strings = None
    Type: str = ""
    Options: dict[str, Any] | None = None


class RuntimeWithStatus(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.RuntimeWithStatus"
    json_names: ClassVar[dict[str, str]] = {"Status": "status"}
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Status"})
    embedded: ClassVar[frozenset[str]] = frozenset({"Runtime"})

    Runtime: OciRuntime = OciRuntime()
    Status: dict[str, str] | None = None


class SwarmInfo(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "swarm.Info"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Nodes", "Managers", "Cluster", "Warnings"})

    NodeID: str = ""
    NodeAddr: str = ""
    LocalNodeState: str = ""
    ControlAvailable: bool = False
    Error: str = ""
    RemoteManagers: list[Any] | None = None
    Nodes: int = 0
    Managers: int = 0
    Cluster: Any = None
    Warnings: Strings = None


class IndexInfo(GoStruct, frozen=True, kw_only=True):
    """Sorted by name, as is RegistrySettings: moby encodes them through maps."""

    go_type: ClassVar[str] = "registry.IndexInfo"

    Mirrors: Strings = None
    Name: str = ""
    Official: bool = False
    Secure: bool = False


class RegistrySettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "registry.ServiceConfig"

    IndexConfigs: dict[str, IndexInfo | None] | None = None
    InsecureRegistryCIDRs: Strings = None
    Mirrors: Strings = None


class NetworkAddressPool(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.NetworkAddressPool"

    Base: str = ""
    Size: int = 0


class FirewallInfo(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.FirewallInfo"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Info"})

    Driver: str = ""
    Info: Pairs = None


class EngineInfo(GoStruct, frozen=True, kw_only=True):
    """`GET /info`. IsolationLevel is ours: which of DESIGN's levels this host allows."""

    go_type: ClassVar[str] = "system.Info"
    json_names: ClassVar[dict[str, str]] = {
        "CPUCfsPeriod": "CpuCfsPeriod",
        "CPUCfsQuota": "CpuCfsQuota",
        "HTTPProxy": "HttpProxy",
        "HTTPSProxy": "HttpsProxy",
    }
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        "SystemStatus KernelMemory KernelMemoryTCP CgroupVersion ProductLicense "
        "DefaultAddressPools FirewallBackend Containerd IsolationLevel".split()
    )

    ID: str = ""
    Containers: int = 0
    ContainersRunning: int = 0
    ContainersPaused: int = 0
    ContainersStopped: int = 0
    Images: int = 0
    Driver: str = ""
    DriverStatus: Pairs = None
    SystemStatus: Pairs = None
    Plugins: PluginsInfo = PluginsInfo()
    MemoryLimit: bool = False
    SwapLimit: bool = False
    KernelMemory: bool = False
    KernelMemoryTCP: bool = False
    CPUCfsPeriod: bool = False
    CPUCfsQuota: bool = False
    CPUShares: bool = False
    CPUSet: bool = False
    PidsLimit: bool = False
    IPv4Forwarding: bool = False
    Debug: bool = False
    NFd: int = 0
    OomKillDisable: bool = False
    NGoroutines: int = 0
    SystemTime: str = ""
    LoggingDriver: str = ""
    CgroupDriver: str = ""
    CgroupVersion: str = ""
    NEventsListener: int = 0
    KernelVersion: str = ""
    OperatingSystem: str = ""
    OSVersion: str = ""
    OSType: str = ""
    Architecture: str = ""
    IndexServerAddress: str = ""
    RegistryConfig: RegistrySettings | None = None
    NCPU: int = 0
    MemTotal: int = 0
    GenericResources: list[Any] | None = None
    DockerRootDir: str = ""
    HTTPProxy: str = ""
    HTTPSProxy: str = ""
    NoProxy: str = ""
    Name: str = ""
    Labels: Strings = None
    ExperimentalBuild: bool = False
    ServerVersion: str = ""
    Runtimes: dict[str, RuntimeWithStatus] | None = None
    DefaultRuntime: str = ""
    Swarm: SwarmInfo = SwarmInfo()
    LiveRestoreEnabled: bool = False
    Isolation: str = ""
    InitBinary: str = ""
    ContainerdCommit: Commit = Commit()
    RuncCommit: Commit = Commit()
    InitCommit: Commit = Commit()
    SecurityOptions: Strings = None
    ProductLicense: str = ""
    DefaultAddressPools: list[NetworkAddressPool] | None = None
    FirewallBackend: FirewallInfo | None = None
    CDISpecDirs: Strings = None
    Containerd: Any = None
    Warnings: Strings = None
    IsolationLevel: str = ""


class PlatformInfo(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.platformInfo"

    Name: str = ""


class ComponentVersion(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "types.ComponentVersion"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Details"})

    Name: str = ""
    Version: str = ""
    Details: dict[str, str] | None = None


class Version(GoStruct, frozen=True, kw_only=True):
    """`GET /version`."""

    go_type: ClassVar[str] = "types.Version"
    json_names: ClassVar[dict[str, str]] = {"APIVersion": "ApiVersion"}
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Components", "MinAPIVersion", "KernelVersion", "Experimental", "BuildTime"}
    )

    Platform: PlatformInfo = PlatformInfo()
    Components: list[ComponentVersion] | None = None
    Version: str = ""
    APIVersion: str = ""
    MinAPIVersion: str = ""
    GitCommit: str = ""
    GoVersion: str = ""
    Os: str = ""
    Arch: str = ""
    KernelVersion: str = ""
    Experimental: bool = False
    BuildTime: str = ""


class ClientVersion(GoStruct, frozen=True, kw_only=True):
    """The client's half of `docker version`."""

    go_type: ClassVar[str] = "system.clientVersion"
    json_names: ClassVar[dict[str, str]] = {"APIVersion": "ApiVersion"}
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        "Platform Version APIVersion DefaultAPIVersion GitCommit GoVersion Os Arch "
        "BuildTime".split()
    )

    Platform: PlatformInfo | None = None
    Version: str = ""
    APIVersion: str = ""
    DefaultAPIVersion: str = ""
    GitCommit: str = ""
    GoVersion: str = ""
    Os: str = ""
    Arch: str = ""
    BuildTime: str = ""
    Context: str = ""


class VersionInfo(GoStruct, frozen=True, kw_only=True):
    """What the template of `docker version` sees."""

    go_type: ClassVar[str] = "system.versionInfo"

    Client: ClientVersion = ClientVersion()
    Server: Version | None = None


class ClientFacts(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "system.clientInfo"
    embedded: ClassVar[frozenset[str]] = frozenset({"clientVersion"})

    Debug: bool = False
    clientVersion: ClientVersion = ClientVersion()
    Plugins: list[Any] | None = None
    Warnings: Strings = None


class DockerInfo(GoStruct, frozen=True, kw_only=True):
    """What the template of `docker info` sees: the engine's answer, and the client's own facts."""

    go_type: ClassVar[str] = "system.dockerInfo"
    embedded: ClassVar[frozenset[str]] = frozenset({"Info"})
    omit_empty: ClassVar[frozenset[str]] = frozenset({"ServerErrors", "ClientInfo", "ClientErrors"})

    Info: EngineInfo = EngineInfo()
    ServerErrors: Strings = None
    ClientInfo: ClientFacts | None = None
    ClientErrors: Strings = None
