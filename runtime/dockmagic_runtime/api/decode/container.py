"""The body of `POST /containers/create` as a `ContainerSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dockmagic_runtime.api.decode.documents import decode, words
from dockmagic_runtime.api.decode.mounts import mounts
from dockmagic_runtime.api.decode.networks import attachments
from dockmagic_runtime.api.decode.resources import resources, restart_policy, ulimits
from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.container import ContainerSpec, Device, HealthCheck, PortMapping
from dockmagic_runtime.model.ports import expand_ports, parse_port, parse_port_range, parse_protocol
from dockmagic_runtime.options.modes import check_conflicts, modes
from dockmagic_runtime.options.networks import parse_link
from dockmagic_runtime.options.security import parse_security
from dockmagic_runtime.wire.container import (
    ContainerConfig,
    HealthConfig,
    HostSettings,
)
from dockmagic_runtime.wire.network import EndpointSettings

_RUNTIMES: Final = frozenset(["", "runc", "dockmagic", "io.containerd.runc.v2"])
_NANO: Final = 1e9


def container_spec(name: str, source: dict[str, Any], platform: str = "") -> ContainerSpec:
    """Raises InvalidInput, Unsupported, HttpError (400)."""
    lists = {key: words(source.get(key), key) for key in ("Cmd", "Entrypoint")}
    config = decode(ContainerConfig, {**source, **lists})
    host = decode(HostSettings, source.get("HostConfig"))
    if not config.Image:
        raise InvalidInput("config cannot be empty in order to create a container")
    _check(host)
    network, attached = attachments(host.NetworkMode, config.MacAddress, _endpoints(source))
    spec = ContainerSpec(
        image=config.Image,
        name=name.removeprefix("/"),
        command=None if config.Cmd is None else tuple(config.Cmd) or None,
        entrypoint=_entrypoint(config.Entrypoint),
        platform=platform,
        network=network,
        attachments=attached,
        mounts=mounts(config, host),
        **_process(config),
        **_network(config, host),
        **_isolation(host),
        **_life(config, host),
        **modes(
            pid=host.PidMode,
            ipc=host.IpcMode,
            uts=host.UTSMode,
            cgroupns=host.CgroupnsMode,
            userns=host.UsernsMode,
        ),
    )
    if spec.auto_remove and spec.restart.name != "no":
        raise InvalidInput("can't create 'AutoRemove' container with restart policy")
    check_conflicts(spec)
    return spec


def _endpoints(source: Mapping[str, Any]) -> dict[str, EndpointSettings]:
    networking = source.get("NetworkingConfig") or {}
    endpoints = networking.get("EndpointsConfig") if isinstance(networking, Mapping) else networking
    if not isinstance(endpoints or {}, Mapping):
        raise InvalidInput("invalid JSON: NetworkingConfig.EndpointsConfig is not an object")
    asked: Mapping[str, Any] = endpoints or {}
    return {name: decode(EndpointSettings, endpoint) for name, endpoint in asked.items()}


def _check(host: HostSettings) -> None:
    if host.Runtime not in _RUNTIMES:
        raise InvalidInput(f"unknown or invalid runtime name: {host.Runtime}")
    if host.Isolation not in ("", "default"):
        raise InvalidInput(
            f"invalid isolation '{host.Isolation}' on linux: only 'default' is supported"
        )
    if host.Resources.DeviceRequests:
        raise Unsupported("devices of a vendor's driver (GPUs, CDI) are not supported")
    if host.StorageOpt:
        raise InvalidInput("--storage-opt is supported only for overlay over xfs with 'pquota'")
    if not -1000 <= host.OomScoreAdj <= 1000:
        raise InvalidInput(
            f"Invalid value {host.OomScoreAdj}, range for oom score adj is [-1000, 1000]"
        )


def _entrypoint(source: list[str] | None) -> tuple[str, ...] | None:
    """None leaves the image's; a list with an empty text clears it, as `--entrypoint ""` does."""
    if not source:
        return None if source is None else ()
    return () if source == [""] else tuple(source)


def _process(config: ContainerConfig) -> dict[str, Any]:
    return {
        "env": tuple(config.Env or ()),
        "labels": dict(config.Labels or {}),
        "working_dir": config.WorkingDir,
        "user": config.User,
        "hostname": config.Hostname,
        "domainname": config.Domainname,
        "tty": config.Tty,
        "open_stdin": config.OpenStdin,
        "stop_signal": config.StopSignal,
        "stop_timeout": config.StopTimeout,
        "health": _health(config.Healthcheck),
    }


def _health(source: HealthConfig | None) -> HealthCheck | None:
    if source is None:
        return None
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if getattr(source, name) < 1_000_000 and getattr(source, name) != 0:
            raise InvalidInput(f"{name} in Healthcheck cannot be less than 1ms")
    if source.Retries < 0:
        raise InvalidInput("Retries in Healthcheck cannot be negative")
    return HealthCheck(
        test=tuple(source.Test or ()),
        interval=source.Interval / _NANO,
        timeout=source.Timeout / _NANO,
        start_period=source.StartPeriod / _NANO,
        start_interval=source.StartInterval / _NANO,
        retries=source.Retries,
    )


def _network(config: ContainerConfig, host: HostSettings) -> dict[str, Any]:
    try:
        expose = tuple(port for text in config.ExposedPorts or () for port in expand_ports(text))
        links = tuple(parse_link(text) for text in host.Links or ())
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    return {
        "ports": tuple(_ports(host)),
        "publish_all": host.PublishAllPorts,
        "expose": expose,
        "links": links,
        "extra_hosts": tuple(host.ExtraHosts or ()),
        "dns": tuple(host.DNS or ()),
        "dns_search": tuple(host.DNSSearch or ()),
        "dns_options": tuple(host.DNSOptions or ()),
    }


def _ports(host: HostSettings) -> list[PortMapping]:
    published: list[PortMapping] = []
    for text, bindings in (host.PortBindings or {}).items():
        number, _, protocol = text.partition("/")
        for binding in bindings or ():
            try:
                first, last = _host_ports(binding.HostPort)
                port = parse_port(number)
            except ValueError as error:
                raise InvalidInput(f"invalid port specification: {text!r}: {error}") from None
            published.append(
                PortMapping(
                    container_port=port,
                    protocol=parse_protocol(protocol),
                    host_ip=binding.HostIP,
                    host_port=first,
                    host_port_end=last,
                )
            )
    return published


def _host_ports(text: str) -> tuple[int, int]:
    """The first of a range, and its last or 0. Raises ValueError."""
    if not text:
        return 0, 0
    ports = parse_port_range(text)
    return ports[0], ports[-1] if len(ports) > 1 else 0


def _isolation(host: HostSettings) -> dict[str, Any]:
    return {
        "group_add": tuple(host.GroupAdd or ()),
        "resources": resources(host.Resources),
        "ulimits": ulimits(host.Resources),
        "cgroup_parent": host.Resources.CgroupParent,
        "devices": tuple(
            Device(
                source=device.PathOnHost,
                target=device.PathInContainer or device.PathOnHost,
                permissions=device.CgroupPermissions or "rwm",
            )
            for device in host.Resources.Devices or ()
        ),
        "device_cgroup_rules": tuple(host.Resources.DeviceCgroupRules or ()),
        "cap_add": tuple(host.CapAdd or ()),
        "cap_drop": tuple(host.CapDrop or ()),
        "privileged": host.Privileged,
        "security_opt": _security(host),
        "read_only": host.ReadonlyRootfs,
        "sysctls": dict(host.Sysctls or {}),
        "oom_score_adj": host.OomScoreAdj,
        "volumes_from": tuple(host.VolumesFrom or ()),
        **({"shm_size": host.ShmSize} if host.ShmSize else {}),
    }


def _security(host: HostSettings) -> tuple[str, ...]:
    """Docker's client sends empty lists of paths for `systempaths=unconfined`."""
    options = parse_security(host.SecurityOpt or ())
    is_open = host.MaskedPaths == [] and host.ReadonlyPaths == []
    return (*options, *(["systempaths=unconfined"] if is_open else []))


def _life(config: ContainerConfig, host: HostSettings) -> dict[str, Any]:
    return {
        "auto_remove": host.AutoRemove,
        "restart": restart_policy(host.RestartPolicy),
        "init": bool(host.Init),
        "log_driver": host.LogConfig.Type or "json-file",
        "log_options": dict(host.LogConfig.Config or {}),
        "annotations": dict(host.Annotations or {}),
        "pull": "never",  # a client pulls by a request of its own
    }
