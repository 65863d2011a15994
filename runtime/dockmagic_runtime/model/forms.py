"""Other forms in which a spec's fields may be written: those that docker-py accepts.

Each function returns the spec's own form, and a value that has it already as it is. Values of a
wrong type raise TypeError, ValueError or KeyError, which `Checked` turns into InvalidInput.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockmagic_runtime.model.container import (
        Device,
        Mount,
        PortMapping,
    )

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = r"(?i)(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?"


def words(value: Any) -> Any:
    """A command: `"echo 'a b'"` is split as a shell does."""
    if not isinstance(value, str):
        return value
    from shlex import split

    return tuple(split(value))


def assignments(value: Any) -> Any:
    """Environment variables: `{"A": "1", "B": None}` → `("A=1", "B")`."""
    if not isinstance(value, Mapping):
        return value
    return tuple(key if text is None else f"{key}={_text(text)}" for key, text in value.items())


def mapping(value: Any) -> Any:
    """Labels, annotations, kernel parameters: `["a=b", "c"]` → `{"a": "b", "c": ""}`."""
    if isinstance(value, Mapping):
        return {key: _text(text) for key, text in value.items()}
    if isinstance(value, (list, tuple)):
        return {key: text for key, _, text in (entry.partition("=") for entry in value)}
    return value


def texts(value: Any) -> Any:
    """Group ids, ports: numbers among them become texts."""
    if isinstance(value, (list, set, frozenset)):
        return tuple(map(_text, value))
    return value


def text(value: Any) -> Any:
    """A user id."""
    return _text(value)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def hosts(value: Any) -> Any:
    """Entries of /etc/hosts: `{"name": "10.0.0.1"}` → `("name:10.0.0.1",)`."""
    if isinstance(value, Mapping):
        return tuple(f"{name}:{address}" for name, address in value.items())
    return value


def pairs(value: Any) -> Any:
    """Links and driver options: `{"db": "alias"}` → `(("db", "alias"),)`."""
    return tuple(value.items()) if isinstance(value, Mapping) else value


def size(value: Any) -> Any:
    """Bytes: `"64m"` is 64 MiB."""
    if not isinstance(value, str):
        return value
    matched = re.fullmatch(_SIZE, value.strip())
    if matched is None:
        raise ValueError(f"invalid size: {value!r}")
    return int(float(matched.group(1)) * _UNITS[matched.group(2).lower()])


def ports(value: Any) -> Any:
    """Published ports: `{"80/tcp": 8080, "53/udp": ("127.0.0.1", 53), "81": None}`.

    The value is a host port, None for a free one, `(address, port)`, `(address,)`, or a list of
    these.
    """
    if not isinstance(value, Mapping):
        return value
    mappings: list[PortMapping] = []
    for container, bindings in value.items():
        for binding in bindings if isinstance(bindings, list) else [bindings]:
            mappings.append(_port(container, binding))
    return tuple(mappings)


def _port(container: Any, binding: Any) -> PortMapping:
    from dockmagic_runtime.model.container import PortMapping
    from dockmagic_runtime.model.ports import parse_port, parse_port_range, parse_protocol

    number, _, protocol = str(container).partition("/")
    address, host = _binding(binding)
    numbers = parse_port_range(str(host)) if host not in (None, "") else range(1)
    return PortMapping(
        container_port=parse_port(number),
        protocol=parse_protocol(protocol),
        host_ip=address,
        host_port=numbers[0],
        host_port_end=numbers[-1] if len(numbers) > 1 else 0,
    )


def _binding(value: Any) -> tuple[str, Any]:
    if isinstance(value, Mapping):
        return value.get("HostIp", ""), value.get("HostPort", "")
    if not isinstance(value, tuple):
        return "", value
    if len(value) == 1 and isinstance(value[0], str):
        return value[0], ""
    address, port = value if len(value) == 2 else ("", *value)
    return address, port


def mounts(value: Any) -> Any:
    """Binds and volumes: `{"/host": {"bind": "/in", "mode": "ro"}}`, `["name:/in:ro"]`."""
    if isinstance(value, Mapping):
        return tuple(
            _mount(source, target["bind"], target.get("mode", "rw")) for source, target in
            value.items()
        )  # fmt: skip
    if isinstance(value, (list, set, frozenset)):
        return tuple(_mount_of(entry) if isinstance(entry, str) else entry for entry in value)
    return value


def _mount_of(entry: str) -> Mount:
    source, *rest = entry.split(":")
    if not rest:
        return _mount("", source, "")
    target, mode = rest if len(rest) == 2 else (*rest, "")
    return _mount(source, target, mode)


def _mount(source: str, target: str, mode: str) -> Mount:
    from dockmagic_runtime.model.container import Mount

    options = tuple(mode.split(",")) if mode else ()
    is_bind = source.startswith("/")
    propagation = [option for option in options if option.lstrip("r") in _PROPAGATION]
    return Mount(
        kind="bind" if is_bind else "volume",
        source=source,
        target=target,
        read_only="ro" in options,
        options=options,
        create_source=is_bind,
        propagation=propagation[0] if propagation else "rprivate",
        copy_up="nocopy" not in options,
    )


_PROPAGATION = frozenset(["private", "shared", "slave"])


def tmpfs(value: Any) -> tuple[Mount, ...]:
    """`{"/run": "size=64m,mode=1777"}` or `["/run:size=64m"]`."""
    from dockmagic_runtime.model.container import Mount

    if not isinstance(value, Mapping):
        value = {target: options for target, _, options in (each.partition(":") for each in value)}
    return tuple(
        Mount(kind="tmpfs", target=target, options=tuple(filter(None, (options or "").split(","))))
        for target, options in value.items()
    )


def restart(value: Any) -> Any:
    """`"on-failure:3"`, or `{"Name": "on-failure", "MaximumRetryCount": 3}`."""
    from dockmagic_runtime.model.container import RestartPolicy

    if isinstance(value, str):
        name, _, maximum = value.partition(":")
        return RestartPolicy(name=name or "no", maximum=int(maximum or 0))
    if isinstance(value, Mapping):
        return _struct(RestartPolicy, value, {"Name": "name", "MaximumRetryCount": "maximum"})
    return value


def health(value: Any) -> Any:
    """`{"test": ["CMD", "true"], "interval": NANOSECONDS, …}`."""
    from dockmagic_runtime.model.container import HealthCheck

    if not isinstance(value, Mapping):
        return value
    fields = {_snake(name): field for name, field in value.items()}
    test = fields.pop("test", ())
    fields["test"] = ("CMD-SHELL", test) if isinstance(test, str) else tuple(test)
    for name in ("interval", "timeout", "start_period", "start_interval"):
        if name in fields:
            fields[name] = fields[name] / 1e9
    return HealthCheck(**fields)


def devices(value: Any) -> Any:
    """`["/dev/fuse", "/dev/sda:/dev/xvda:r"]`."""
    if isinstance(value, list):
        return tuple(_device(entry) if isinstance(entry, str) else entry for entry in value)
    return value


def _device(entry: str) -> Device:
    from dockmagic_runtime.model.container import Device

    source, *rest = entry.split(":")
    target = rest[0] if rest else source
    return Device(source=source, target=target, permissions=rest[1] if len(rest) > 1 else "rwm")


def ulimits(value: Any) -> Any:
    """`[{"Name": "nofile", "Soft": 64, "Hard": 128}]`, or `{"nofile": 64}` for both."""
    if isinstance(value, (list, tuple)):
        limits = [{key.lower(): field for key, field in entry.items()} for entry in value]
        return {limit["name"]: _limits(limit.get("soft"), limit.get("hard")) for limit in limits}
    if isinstance(value, Mapping):
        return {
            name: (limit, limit) if isinstance(limit, int) else limit
            for name, limit in value.items()
        }
    return value


def _limits(soft: int | None, hard: int | None) -> tuple[int, int]:
    if soft is None and hard is None:
        raise ValueError("neither soft nor hard limit")
    low = hard if soft is None else soft
    high = soft if hard is None else hard
    return int(low or 0), int(high or 0)


def pools(value: Any) -> Any:
    """Docker's IPAM config: `[{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]`."""
    from dockmagic_runtime.model.network import Pool

    if isinstance(value, Mapping):
        value = value.get("Config") or []
    if not isinstance(value, list):
        return value
    return tuple(
        _struct(Pool, entry, _POOL_FIELDS) if isinstance(entry, Mapping) else entry
        for entry in value
    )


_POOL_FIELDS = {
    "Subnet": "subnet",
    "Gateway": "gateway",
    "IPRange": "ip_range",
    "AuxiliaryAddresses": "reserved",
}


def _struct(kind: Callable[..., Any], value: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    return kind(**{names.get(key, key): field for key, field in value.items()})


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def device_rates(kind: str, value: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str, int], ...]:
    """`[{"Path": "/dev/sda", "Rate": 1000}]` as `Resources.throttles` of that kind."""
    return tuple((kind, entry["Path"], int(entry["Rate"])) for entry in value)


def resources(value: Any) -> Any:
    """A dict of the fields of `Resources`; sizes may be texts."""
    from dockmagic_runtime.model.container import Resources

    return Resources(**value) if isinstance(value, Mapping) else value
