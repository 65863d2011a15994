"""`docker info`: the engine, the machine, and what it allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, WrongUsage
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.output.result import Chunk, Result, Text, line, notice
from dockmagic.commands.system.version import client_version
from dockmagic.commands.units import binary_size
from dockmagic.version import __version__
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi
    from dockmagic_runtime.wire.system import DockerInfo, EngineInfo


def parser() -> Parser:
    return Parser(
        verb="info",
        usage="[OPTIONS]",
        summary="Display system-wide information",
        maximum=0,
        flags=(INSPECT_FORMAT,),
    )


class Info(Result, frozen=True):
    """Docker's page; the warnings go to the error stream, as in Docker."""

    info: DockerInfo
    facts: dict[str, Any]

    def text(self) -> str:
        return "\n".join([*_client(self.info), "", *_server(self.info.Info), ""])

    def chunks(self) -> Iterator[Chunk]:
        yield line(self.text())
        for warning in self.info.Info.Warnings or ():
            yield notice(warning)

    def stable(self) -> str:
        """Which facts there are: each may differ on the next machine."""
        return "\n".join(self.facts)

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": name, "value": fact} for name, fact in self.facts.items()]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


def run(engine: EngineApi, arguments: Arguments) -> Result:
    from dockmagic_runtime.wire import go

    format = arguments.flag("format")
    template = _template(format) if format else None
    info = _info(engine)
    if template is None:
        return Info(info, go.document(info.Info))
    return Text(template.render(info))


def _template(format: str) -> Any:
    from dockmagic.commands.gotemplate.template import Template

    try:
        return Template("{{json .}}" if format == "json" else format)
    except InvalidInput as error:
        raise WrongUsage(error.message, verb="info", hint=error.hint, exit_code=64) from None


def _info(engine: EngineApi) -> DockerInfo:
    from dockmagic_runtime.wire import go
    from dockmagic_runtime.wire.system import ClientFacts, DockerInfo, EngineInfo

    facts = go.decode(EngineInfo, engine.system.info())
    client = ClientFacts(clientVersion=client_version(), Plugins=[])
    return DockerInfo(Info=replace(facts, ServerVersion=__version__), ClientInfo=client)


def _client(info: DockerInfo) -> Iterator[str]:
    assert info.ClientInfo is not None
    version = info.ClientInfo.clientVersion
    yield "Client:"
    yield f" Version:    {version.Version}"
    yield f" Context:    {version.Context}"
    yield f" Debug Mode: {_shown(info.ClientInfo.Debug)}"


def _server(info: EngineInfo) -> Iterator[str]:
    """In the order, with the indentation and the conditions of docker/cli's page."""
    yield "Server:"
    yield from _counts(info)
    yield from _named(info, {"ServerVersion": "Server Version", "Driver": "Storage Driver"})
    for pair in info.DriverStatus or ():
        yield f"  {': '.join(pair or ())}"
    yield from _named(
        info,
        {
            "LoggingDriver": "Logging Driver",
            "CgroupDriver": "Cgroup Driver",
            "CgroupVersion": "Cgroup Version",
        },
    )
    yield " Plugins:"
    for kind in ("Volume", "Network", "Log"):
        yield f"  {kind}: {' '.join(getattr(info.Plugins, kind) or ())}"
    yield f" Swarm: {info.Swarm.LocalNodeState}"
    yield f" Runtimes: {' '.join(info.Runtimes or ())}"
    yield f" Default Runtime: {info.DefaultRuntime}"
    yield f" Init Binary: {info.InitBinary}"
    yield from _security(info)
    yield from _machine(info)
    yield from _settings(info)


def _counts(info: EngineInfo) -> Iterator[str]:
    yield f" Containers: {info.Containers}"
    yield f"  Running: {info.ContainersRunning}"
    yield f"  Paused: {info.ContainersPaused}"
    yield f"  Stopped: {info.ContainersStopped}"
    yield f" Images: {info.Images}"


def _named(info: EngineInfo, labels: dict[str, str]) -> Iterator[str]:
    """Those that are not empty."""
    for field, label in labels.items():
        if getattr(info, field) != "":
            yield f" {label}: {getattr(info, field)}"


def _security(info: EngineInfo) -> Iterator[str]:
    """`name=seccomp,profile=builtin` is an option with a profile."""
    yield " Security Options:"
    for option in info.SecurityOptions or ():
        pairs = dict(part.split("=", 1) for part in option.split(","))
        yield f"  {pairs['name']}"
        if "profile" in pairs:
            yield f"   Profile: {pairs['profile']}"


def _machine(info: EngineInfo) -> Iterator[str]:
    yield from _named(
        info,
        {
            "KernelVersion": "Kernel Version",
            "OperatingSystem": "Operating System",
            "OSType": "OSType",
            "Architecture": "Architecture",
        },
    )
    yield f" CPUs: {info.NCPU}"
    yield f" Total Memory: {binary_size(info.MemTotal)}"
    yield from _named(info, {"Name": "Name", "ID": "ID"})
    yield f" Docker Root Dir: {info.DockerRootDir}"
    yield f" Debug Mode: {_shown(info.Debug)}"


def _settings(info: EngineInfo) -> Iterator[str]:
    labels = {"HTTPProxy": "HTTP Proxy", "HTTPSProxy": "HTTPS Proxy", "NoProxy": "No Proxy"}
    yield from _named(info, labels)
    yield f" Experimental: {_shown(info.ExperimentalBuild)}"
    yield " Insecure Registries:"
    for block in (info.RegistryConfig.InsecureRegistryCIDRs or ()) if info.RegistryConfig else ():
        yield f"  {block}"
    yield f" Live Restore Enabled: {_shown(info.LiveRestoreEnabled)}"
    if info.FirewallBackend is not None:
        yield f" Firewall Backend: {info.FirewallBackend.Driver}"
    yield from _named(info, {"IsolationLevel": "Isolation Level"})


def _shown(flag: bool) -> str:
    return "true" if flag else "false"
