"""Keyword arguments of `containers.create`, `run`, `exec` and `networks.create` as specs.

A keyword is a field of the spec, or docker-py's name of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model import forms
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Resources
from dockmagic_runtime.model.network import Attachment, NetworkSpec

Spec = TypeVar("Spec", bound=Struct)

_CONTAINER = {
    "cgroupns": "cgroupns_mode",
    "dns_opt": "dns_options",
    "environment": "env",
    "healthcheck": "health",
    "network_mode": "network",
    "publish_all_ports": "publish_all",
    "remove": "auto_remove",
    "restart_policy": "restart",
    "stdin_open": "open_stdin",
}
_RESOURCES = {
    "blkio_weight_device": "blkio_weight_devices",
    "mem_limit": "memory",
    "mem_reservation": "memory_reservation",
    "mem_swappiness": "memory_swappiness",
    "memswap_limit": "memory_swap",
}
_RATES = ("read_bps", "write_bps", "read_iops", "write_iops")
_EXEC = {"environment": "env", "stdin": "open_stdin", "workdir": "working_dir"}
_NETWORK = {"enable_ipv6": "ipv6", "ipam": "pools"}


def container_spec(image: str, command: Any, keywords: Mapping[str, Any]) -> ContainerSpec:
    """Raises InvalidInput, for an unknown keyword too."""
    fields = {_CONTAINER.get(name, name): value for name, value in keywords.items()}
    fields |= {"image": image, "command": command}
    _take_resources(fields)
    _take_mounts(fields)
    log = fields.pop("log_config", None)
    if isinstance(log, Mapping):
        fields |= {"log_driver": log["Type"], "log_options": log.get("Config") or {}}
    mac_address = fields.pop("mac_address", "")
    if mac_address:
        network = fields.get("network", "bridge")
        fields["attachments"] = (Attachment(network=network, mac_address=mac_address),)
    return _spec(ContainerSpec, fields)


def _take_resources(fields: dict[str, Any]) -> None:
    limits: dict[str, Any] = {}
    for name in list(fields):
        limit = _RESOURCES.get(name, name)
        if limit in Resources.__struct_fields__:
            limits[limit] = fields.pop(name)
    rates = [(kind, fields.pop(f"device_{kind}", ())) for kind in _RATES]
    throttles = [rate for kind, entries in rates for rate in forms.device_rates(kind, entries)]
    if throttles:
        limits["throttles"] = tuple(throttles)
    weights = limits.get("blkio_weight_devices", ())
    if any(isinstance(entry, Mapping) for entry in weights):
        limits["blkio_weight_devices"] = tuple((each["Path"], each["Weight"]) for each in weights)
    if limits:
        fields["resources"] = Resources(**limits)


def _take_mounts(fields: dict[str, Any]) -> None:
    mounts = tuple(forms.mounts(fields.pop("mounts", ())))
    mounts += tuple(forms.mounts(fields.pop("volumes", ())))
    mounts += forms.tmpfs(fields.pop("tmpfs", {}))
    if mounts:
        fields["mounts"] = mounts


def exec_spec(command: Any, keywords: Mapping[str, Any]) -> ExecSpec:
    """Raises InvalidInput, for an unknown keyword too."""
    fields = {_EXEC.get(name, name): value for name, value in keywords.items()}
    return _spec(ExecSpec, fields | {"command": command})


def network_spec(name: str, keywords: Mapping[str, Any]) -> NetworkSpec:
    """Raises InvalidInput, for an unknown keyword too."""
    fields = {_NETWORK.get(key, key): value for key, value in keywords.items()}
    return _spec(NetworkSpec, fields | {"name": name})


def _spec(kind: type[Spec], fields: dict[str, Any]) -> Spec:
    for name in fields:
        if name not in kind.__struct_fields__:
            raise _unknown(kind, name)
    return kind(**fields)


def _unknown(kind: type[Struct], name: str) -> InvalidInput:
    from dockmagic_runtime.model.suggest import did_you_mean

    hint = did_you_mean(name, (*kind.__struct_fields__, *_CONTAINER))
    return InvalidInput(f"unknown keyword: {name}", hint=hint)
