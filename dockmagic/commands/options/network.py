"""`--network` with its options."""

from __future__ import annotations

import csv

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.options.networks import (
    parse_driver_option,
    parse_ipv4,
    parse_ipv6,
    parse_link_local,
    parse_mac,
    parse_priority,
)


def parse_network(text: str) -> Attachment:
    """A name, or `name=…,alias=…,ip=…,ip6=…,mac-address=…,link-local-ip=…,driver-opt=…,
    gw-priority=…`."""
    if not text:
        raise InvalidInput("no name set for network")
    if "=" not in text:
        return Attachment(network=_mode(text))
    fields: dict[str, list[str]] = {}
    for field in _fields(text):
        key, equals, said = field.partition("=")
        if not equals:
            raise ValueError(f"invalid field {field}")
        fields.setdefault(key.strip().lower(), []).append(said.strip())
    for key in fields.keys() - _KEYS:
        raise ValueError(f"invalid field key {key}")
    if not fields.get("name", [""])[-1]:
        raise ValueError("network name/id is not specified")
    return _attachment(fields)


def _fields(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration):
        raise ValueError(f"invalid field {text!r}") from None


_KEYS = frozenset(
    ["name", "alias", "ip", "ip6", "mac-address", "link-local-ip", "driver-opt", "gw-priority"]
)


def _attachment(fields: dict[str, list[str]]) -> Attachment:
    def last(key: str) -> str:
        return fields.get(key, [""])[-1]

    return Attachment(
        network=_mode(last("name")),
        aliases=tuple(fields.get("alias", ())),
        ipv4=parse_ipv4(last("ip")) if last("ip") else "",
        ipv6=parse_ipv6(last("ip6")) if last("ip6") else "",
        mac_address=parse_mac(last("mac-address")) if last("mac-address") else "",
        link_local_ips=tuple(map(parse_link_local, fields.get("link-local-ip", ()))),
        driver_options=tuple(map(parse_driver_option, fields.get("driver-opt", ()))),
        gw_priority=parse_priority(last("gw-priority") or "0"),
    )


def _mode(name: str) -> str:
    return "bridge" if name == "default" else name
