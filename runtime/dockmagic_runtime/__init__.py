"""A container engine in Python. The names in `__all__` are its public API; see runtime/API.md.

Importing the package imports nothing else: each name is loaded at its first use, because the
launcher and the supervisors import their modules through this package too, and start often.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers understand it; `typing` costs 5 ms
if TYPE_CHECKING:
    from dockmagic_runtime.engine.engine import Engine
    from dockmagic_runtime.engine.interface import (
        BuildsApi,
        ContainersApi,
        EngineApi,
        ImagesApi,
        LogStreamApi,
        NetworksApi,
        ProcessApi,
        SystemApi,
        VolumesApi,
    )
    from dockmagic_runtime.errors import (
        Conflict,
        DockmagicError,
        EngineBug,
        InvalidInput,
        NotFound,
        ProcessFailed,
        RemoteFailed,
        StartFailed,
        StateDamaged,
        Unsupported,
    )
    from dockmagic_runtime.model.analysis import (
        Anatomy,
        FileOrigin,
        FileVersion,
        Sharing,
        WastedFile,
    )
    from dockmagic_runtime.model.build import (
        BuildCacheSpec,
        BuildDone,
        BuildOutput,
        BuildRequest,
        BuildStarted,
        BuildWarning,
        PlannedStep,
        StepDone,
        StepFailed,
        StepOutput,
        StepStarted,
    )
    from dockmagic_runtime.model.commit import CommitSpec, ImportSpec
    from dockmagic_runtime.model.container import (
        Change,
        ChangeKind,
        Container,
        ContainerSpec,
        Device,
        ExecSpec,
        HealthCheck,
        LogLine,
        Mount,
        PathStat,
        PortMapping,
        ProcessTable,
        Resources,
        RestartPolicy,
        Stats,
        Status,
    )
    from dockmagic_runtime.model.docker_event import Event
    from dockmagic_runtime.model.explanation import (
        BuildExplanation,
        ExplainedBuildStep,
        ExplainedStep,
        Explanation,
    )
    from dockmagic_runtime.model.host_network import (
        HostAddress,
        HostLink,
        HostNetwork,
        HostRoute,
        Neighbour,
        NetworkChange,
        NetworkWatch,
    )
    from dockmagic_runtime.model.image import History, Image, ImageConfig, Layer, LayerFile
    from dockmagic_runtime.model.network import (
        Attachment,
        Network,
        NetworkSpec,
        Pool,
        PrunedNetworks,
    )
    from dockmagic_runtime.model.outline import BuildOutline
    from dockmagic_runtime.model.progress import (
        LoadDone,
        PullDone,
        PullStatus,
        PullTotals,
        PushDone,
    )
    from dockmagic_runtime.model.repair import Repair
    from dockmagic_runtime.model.search import RemoteManifest, SearchResult
    from dockmagic_runtime.model.topology import Hop, Route, Topology, Trace
    from dockmagic_runtime.model.usage import CacheBounds, ContainerSize, DiskUsage, Pruned
    from dockmagic_runtime.model.volume import PrunedVolumes, Volume
    from dockmagic_runtime.registry.errors import AccessDenied, RegistryUnreachable

__all__ = [
    "AccessDenied", "Anatomy", "Annotation", "Attachment", "BuildCacheSpec", "BuildDone",
    "BuildExplanation",
    "BuildOutline", "BuildOutput", "BuildRequest", "BuildStarted", "BuildWarning", "BuildsApi",
    "CacheBounds", "Change", "ChangeKind", "CommitSpec", "Conflict", "Container",
    "ContainerSize", "ContainerSpec", "ContainersApi", "Device", "DiskUsage", "DockmagicError",
    "Engine", "EngineApi", "EngineBug", "Event", "ExecSpec", "ExplainedBuildStep",
    "ExplainedStep", "Explanation", "FileOrigin", "FileVersion", "HealthCheck", "History",
    "Hop", "HostAddress", "HostLink", "HostNetwork", "HostRoute", "Image", "ImageConfig",
    "ImagesApi", "ImportSpec", "InvalidInput", "Layer", "LayerFile", "LoadDone", "LogLine",
    "LogStreamApi", "ManifestsApi", "Mount", "Neighbour", "Network", "NetworkChange", "NetworkSpec",
    "NetworkWatch", "NetworksApi", "NotFound", "PathStat", "PlannedStep", "Pool", "PortMapping",
    "ProcessApi",
    "ProcessFailed", "ProcessTable", "Pruned", "PrunedNetworks", "PrunedVolumes", "PullDone",
    "PullStatus", "PullTotals", "PushDone", "RegistryUnreachable", "RemoteFailed", "RemoteManifest",
    "Repair",
    "Resources", "RestartPolicy", "Route", "SearchResult", "Sharing", "StartFailed",
    "StateDamaged", "Stats", "Status", "StepDone", "StepFailed", "StepOutput", "StepStarted",
    "SystemApi",
    "Topology", "Trace", "Unsupported", "Volume", "VolumesApi", "WastedFile",
]  # fmt: skip

# Where each name is. (A test compares this table, `__all__` and the imports above.)
_MODULES = {
    "engine.engine": "Engine",
    "engine.interface": (
        "BuildsApi ContainersApi EngineApi ImagesApi LogStreamApi ManifestsApi NetworksApi "
        "ProcessApi SystemApi VolumesApi"
    ),
    "errors": (
        "Conflict DockmagicError EngineBug InvalidInput NotFound ProcessFailed "
        "RemoteFailed StartFailed StateDamaged Unsupported"
    ),
    "model.analysis": "Anatomy FileOrigin FileVersion Sharing WastedFile",
    "model.build": (
        "BuildCacheSpec BuildDone BuildOutput BuildRequest BuildStarted BuildWarning "
        "PlannedStep StepDone StepFailed StepOutput StepStarted"
    ),
    "model.commit": "CommitSpec ImportSpec",
    "model.container": (
        "Change ChangeKind Container ContainerSpec Device ExecSpec HealthCheck LogLine "
        "Mount PathStat PortMapping ProcessTable Resources RestartPolicy Stats Status"
    ),
    "model.docker_event": "Event",
    "model.explanation": "BuildExplanation ExplainedBuildStep ExplainedStep Explanation",
    "model.host_network": (
        "HostAddress HostLink HostNetwork HostRoute Neighbour NetworkChange NetworkWatch"
    ),
    "model.image": "History Image ImageConfig Layer LayerFile",
    "model.manifest_list": "Annotation",
    "model.network": "Attachment Network NetworkSpec Pool PrunedNetworks",
    "model.outline": "BuildOutline",
    "model.progress": "LoadDone PullDone PullStatus PullTotals PushDone",
    "model.repair": "Repair",
    "model.search": "RemoteManifest SearchResult",
    "model.topology": "Hop Route Topology Trace",
    "model.usage": "CacheBounds ContainerSize DiskUsage Pruned",
    "model.volume": "PrunedVolumes Volume",
    "registry.errors": "AccessDenied RegistryUnreachable",
}


if not TYPE_CHECKING:  # else type checkers would take any name for an attribute

    def __getattr__(name: str) -> object:
        for module, names in _MODULES.items():
            if name in names.split():
                from importlib import import_module

                value: object = getattr(import_module(f"{__name__}.{module}"), name)
                globals()[name] = value  # the next access does not come here
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
