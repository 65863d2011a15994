"""Containers in Docker's Engine API 1.50: `GET /containers/json` and `/containers/{id}/json`.

Fields, order and types are those of moby's api/types/container.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import field

from dockmagic_runtime.wire.go import ZERO_TIME, Duration, Empty, GoStruct, Time
from dockmagic_runtime.wire.network import EndpointSettings
from dockmagic_runtime.wire.storage import DriverData

Strings = list[str] | None
StringMap = dict[str, str] | None


class HealthcheckResult(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.HealthcheckResult"

    Start: Time = ZERO_TIME
    End: Time = ZERO_TIME
    ExitCode: int = 0
    Output: str = ""


class HealthState(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.Health"

    Status: str = ""
    FailingStreak: int = 0
    Log: list[HealthcheckResult | None] | None = None


class ContainerState(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.State"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Health"})

    Status: str = ""
    Running: bool = False
    Paused: bool = False
    Restarting: bool = False
    OOMKilled: bool = False
    Dead: bool = False
    Pid: int = 0
    ExitCode: int = 0
    Error: str = ""
    StartedAt: str = ""
    FinishedAt: str = ""
    Health: HealthState | None = None


class HealthConfig(GoStruct, frozen=True, kw_only=True):
    """Durations are nanoseconds."""

    go_type: ClassVar[str] = "v1.HealthcheckConfig"
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"}
    )

    Test: Strings = None
    Interval: Duration = 0
    Timeout: Duration = 0
    StartPeriod: Duration = 0
    StartInterval: Duration = 0
    Retries: int = 0


class ContainerConfig(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.Config"
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        "ExposedPorts Healthcheck ArgsEscaped NetworkDisabled MacAddress StopSignal StopTimeout "
        "Shell".split()
    )

    Hostname: str = ""
    Domainname: str = ""
    User: str = ""
    AttachStdin: bool = False
    AttachStdout: bool = False
    AttachStderr: bool = False
    ExposedPorts: dict[str, Empty] | None = None
    Tty: bool = False
    OpenStdin: bool = False
    StdinOnce: bool = False
    Env: Strings = None
    Cmd: Strings = None
    Healthcheck: HealthConfig | None = None
    ArgsEscaped: bool = False
    Image: str = ""
    Volumes: dict[str, Empty] | None = None
    WorkingDir: str = ""
    Entrypoint: Strings = None
    NetworkDisabled: bool = False
    MacAddress: str = ""
    OnBuild: Strings = None
    Labels: StringMap = None
    StopSignal: str = ""
    StopTimeout: int | None = None
    Shell: Strings = None


class LogSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.LogConfig"

    Type: str = ""
    Config: StringMap = None


class PortBinding(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "nat.PortBinding"
    json_names: ClassVar[dict[str, str]] = {"HostIP": "HostIp"}

    HostIP: str = ""
    HostPort: str = ""


PortMap = dict[str, list[PortBinding] | None] | None


class RestartSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.RestartPolicy"

    Name: str = ""
    MaximumRetryCount: int = 0


class WeightDevice(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "blkiodev.WeightDevice"

    Path: str = ""
    Weight: int = 0


class ThrottleDevice(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "blkiodev.ThrottleDevice"

    Path: str = ""
    Rate: int = 0


class DeviceMapping(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.DeviceMapping"

    PathOnHost: str = ""
    PathInContainer: str = ""
    CgroupPermissions: str = ""


class DeviceRequest(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.DeviceRequest"

    Driver: str = ""
    Count: int = 0
    DeviceIDs: Strings = None
    Capabilities: list[list[str] | None] | None = None
    Options: StringMap = None


class Ulimit(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "units.Ulimit"

    Name: str = ""
    Hard: int = 0
    Soft: int = 0


class ResourceSettings(GoStruct, frozen=True, kw_only=True):
    """Memory in bytes, CPU periods and quotas in microseconds, NanoCPUs in 1e-9 CPUs."""

    go_type: ClassVar[str] = "container.Resources"
    json_names: ClassVar[dict[str, str]] = {
        "CPUShares": "CpuShares",
        "NanoCPUs": "NanoCpus",
        "CPUPeriod": "CpuPeriod",
        "CPUQuota": "CpuQuota",
        "CPURealtimePeriod": "CpuRealtimePeriod",
        "CPURealtimeRuntime": "CpuRealtimeRuntime",
        "CPUCount": "CpuCount",
        "CPUPercent": "CpuPercent",
    }
    omit_empty: ClassVar[frozenset[str]] = frozenset({"KernelMemory", "KernelMemoryTCP"})

    CPUShares: int = 0
    Memory: int = 0
    NanoCPUs: int = 0
    CgroupParent: str = ""
    BlkioWeight: int = 0
    BlkioWeightDevice: list[WeightDevice | None] | None = None
    BlkioDeviceReadBps: list[ThrottleDevice | None] | None = None
    BlkioDeviceWriteBps: list[ThrottleDevice | None] | None = None
    BlkioDeviceReadIOps: list[ThrottleDevice | None] | None = None
    BlkioDeviceWriteIOps: list[ThrottleDevice | None] | None = None
    CPUPeriod: int = 0
    CPUQuota: int = 0
    CPURealtimePeriod: int = 0
    CPURealtimeRuntime: int = 0
    CpusetCpus: str = ""
    CpusetMems: str = ""
    Devices: list[DeviceMapping] | None = None
    DeviceCgroupRules: Strings = None
    DeviceRequests: list[DeviceRequest] | None = None
    KernelMemory: int = 0
    KernelMemoryTCP: int = 0
    MemoryReservation: int = 0
    MemorySwap: int = 0
    MemorySwappiness: int | None = None
    OomKillDisable: bool | None = None
    PidsLimit: int | None = None
    Ulimits: list[Ulimit | None] | None = None
    CPUCount: int = 0
    CPUPercent: int = 0
    IOMaximumIOps: int = 0
    IOMaximumBandwidth: int = 0


class BindSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "mount.BindOptions"
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        "Propagation NonRecursive CreateMountpoint ReadOnlyNonRecursive "
        "ReadOnlyForceRecursive".split()
    )

    Propagation: str = ""
    NonRecursive: bool = False
    CreateMountpoint: bool = False
    ReadOnlyNonRecursive: bool = False
    ReadOnlyForceRecursive: bool = False


class VolumeDriver(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "mount.Driver"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Name", "Options"})

    Name: str = ""
    Options: StringMap = None


class VolumeSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "mount.VolumeOptions"
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"NoCopy", "Labels", "Subpath", "DriverConfig"}
    )

    NoCopy: bool = False
    Labels: StringMap = None
    Subpath: str = ""
    DriverConfig: VolumeDriver | None = None


class ImageSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "mount.ImageOptions"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Subpath"})

    Subpath: str = ""


class TmpfsSettings(GoStruct, frozen=True, kw_only=True):
    """SizeBytes in bytes; Mode is the number that os.FileMode has."""

    go_type: ClassVar[str] = "mount.TmpfsOptions"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"SizeBytes", "Mode", "Options"})

    SizeBytes: int = 0
    Mode: int = 0
    Options: list[list[str] | None] | None = None


class Mount(GoStruct, frozen=True, kw_only=True):
    """A mount as it was asked for with `--mount`."""

    go_type: ClassVar[str] = "mount.Mount"
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        "Type Source Target ReadOnly Consistency BindOptions VolumeOptions ImageOptions "
        "TmpfsOptions".split()
    )

    Type: str = ""
    Source: str = ""
    Target: str = ""
    ReadOnly: bool = False
    Consistency: str = ""
    BindOptions: BindSettings | None = None
    VolumeOptions: VolumeSettings | None = None
    ImageOptions: ImageSettings | None = None
    TmpfsOptions: TmpfsSettings | None = None


class HostSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.HostConfig"
    json_names: ClassVar[dict[str, str]] = {
        "DNS": "Dns",
        "DNSOptions": "DnsOptions",
        "DNSSearch": "DnsSearch",
    }
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Annotations", "StorageOpt", "Tmpfs", "Sysctls", "Runtime", "Mounts", "Init"}
    )
    embedded: ClassVar[frozenset[str]] = frozenset({"Resources"})

    Binds: Strings = None
    ContainerIDFile: str = ""
    LogConfig: LogSettings = LogSettings()
    NetworkMode: str = ""
    PortBindings: PortMap = None
    RestartPolicy: RestartSettings = RestartSettings()
    AutoRemove: bool = False
    VolumeDriver: str = ""
    VolumesFrom: Strings = None
    ConsoleSize: list[int] = field(default_factory=lambda: [0, 0])  # height, width
    Annotations: StringMap = None
    CapAdd: Strings = None
    CapDrop: Strings = None
    CgroupnsMode: str = ""
    DNS: Strings = None
    DNSOptions: Strings = None
    DNSSearch: Strings = None
    ExtraHosts: Strings = None
    GroupAdd: Strings = None
    IpcMode: str = ""
    Cgroup: str = ""
    Links: Strings = None
    OomScoreAdj: int = 0
    PidMode: str = ""
    Privileged: bool = False
    PublishAllPorts: bool = False
    ReadonlyRootfs: bool = False
    SecurityOpt: Strings = None
    StorageOpt: StringMap = None
    Tmpfs: StringMap = None
    UTSMode: str = ""
    UsernsMode: str = ""
    ShmSize: int = 0
    Sysctls: StringMap = None
    Runtime: str = ""
    Isolation: str = ""
    Resources: ResourceSettings = ResourceSettings()
    Mounts: list[Mount] | None = None
    MaskedPaths: Strings = None
    ReadonlyPaths: Strings = None
    Init: bool | None = None


class MountPoint(GoStruct, frozen=True, kw_only=True):
    """A mount of a container as it is."""

    go_type: ClassVar[str] = "container.MountPoint"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Type", "Name", "Driver"})

    Type: str = ""
    Name: str = ""
    Source: str = ""
    Destination: str = ""
    Driver: str = ""
    Mode: str = ""
    RW: bool = False
    Propagation: str = ""


class Address(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "network.Address"

    Addr: str = ""
    PrefixLen: int = 0


class NetworkState(GoStruct, frozen=True, kw_only=True):
    """The fields that Go embeds stand here in their order: nothing names the embedded structs."""

    go_type: ClassVar[str] = "container.NetworkSettings"

    Bridge: str = ""
    SandboxID: str = ""
    SandboxKey: str = ""
    Ports: PortMap = None
    HairpinMode: bool = False
    LinkLocalIPv6Address: str = ""
    LinkLocalIPv6PrefixLen: int = 0
    SecondaryIPAddresses: list[Address] | None = None
    SecondaryIPv6Addresses: list[Address] | None = None
    EndpointID: str = ""
    Gateway: str = ""
    GlobalIPv6Address: str = ""
    GlobalIPv6PrefixLen: int = 0
    IPAddress: str = ""
    IPPrefixLen: int = 0
    IPv6Gateway: str = ""
    MacAddress: str = ""
    Networks: dict[str, EndpointSettings | None] | None = None


class InspectResponse(GoStruct, frozen=True, kw_only=True):
    """`GET /containers/{id}/json`. SizeRw and SizeRootFs (bytes) only where they were asked for."""

    go_type: ClassVar[str] = "container.InspectResponse"
    json_names: ClassVar[dict[str, str]] = {"ID": "Id"}
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"SizeRw", "SizeRootFs", "ImageManifestDescriptor"}
    )

    ID: str = ""
    Created: str = ""
    Path: str = ""
    Args: Strings = None
    State: ContainerState | None = None
    Image: str = ""
    ResolvConfPath: str = ""
    HostnamePath: str = ""
    HostsPath: str = ""
    LogPath: str = ""
    Name: str = ""
    RestartCount: int = 0
    Driver: str = ""
    Platform: str = ""
    MountLabel: str = ""
    ProcessLabel: str = ""
    AppArmorProfile: str = ""
    ExecIDs: Strings = None
    HostConfig: HostSettings | None = None
    GraphDriver: DriverData = DriverData()
    SizeRw: int | None = None
    SizeRootFs: int | None = None
    Mounts: list[MountPoint] | None = None
    Config: ContainerConfig | None = None
    NetworkSettings: NetworkState | None = None
    ImageManifestDescriptor: Any = None


class Port(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.Port"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"IP", "PublicPort"})

    IP: str = ""
    PrivatePort: int = 0
    PublicPort: int = 0
    Type: str = ""


class SummaryHostConfig(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.Summary.HostConfig"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"NetworkMode", "Annotations"})

    NetworkMode: str = ""
    Annotations: StringMap = None


class NetworkSettingsSummary(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "container.NetworkSettingsSummary"

    Networks: dict[str, EndpointSettings | None] | None = None


class Summary(GoStruct, frozen=True, kw_only=True):
    """One element of `GET /containers/json`. Created in seconds since the epoch, sizes in bytes."""

    go_type: ClassVar[str] = "container.Summary"
    json_names: ClassVar[dict[str, str]] = {"ID": "Id"}
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"SizeRw", "SizeRootFs", "ImageManifestDescriptor"}
    )

    ID: str = ""
    Names: Strings = None
    Image: str = ""
    ImageID: str = ""
    ImageManifestDescriptor: Any = None
    Command: str = ""
    Created: int = 0
    Ports: list[Port] | None = None
    SizeRw: int = 0
    SizeRootFs: int = 0
    Labels: StringMap = None
    State: str = ""
    Status: str = ""
    HostConfig: SummaryHostConfig = SummaryHostConfig()
    NetworkSettings: NetworkSettingsSummary | None = None
    Mounts: list[MountPoint] | None = None
