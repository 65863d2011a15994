"""`NetworkSettings` of `inspect`: a container's endpoints, in Docker's fields."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.supervisor.state import State

_DEPRECATED: dict[str, Any] = {  # fields that Docker keeps, always empty
    "Bridge": "",
    "HairpinMode": False,
    "LinkLocalIPv6Address": "",
    "LinkLocalIPv6PrefixLen": 0,
    "SecondaryIPAddresses": None,
    "SecondaryIPv6Addresses": None,
}


def network_settings(record: Record, now: State) -> dict[str, Any]:
    """Zero values while the container does not run; on top, its endpoint on the default network."""
    on_default = _of_default(now)
    return {
        **_DEPRECATED,
        "SandboxID": "",
        "SandboxKey": f"/proc/{now.pid}/ns/net" if now.pid else "",
        "Ports": _ports(record, now) if Status(now.status).is_alive else {},
        "EndpointID": on_default.get("endpoint_id", ""),
        "Gateway": on_default.get("gateway", ""),
        "GlobalIPv6Address": on_default.get("ip6_address", ""),
        "GlobalIPv6PrefixLen": on_default.get("prefix_length6", 0),
        "IPAddress": on_default.get("ip_address", ""),
        "IPPrefixLen": on_default.get("prefix_length", 0),
        "IPv6Gateway": on_default.get("gateway6", ""),
        "MacAddress": on_default.get("mac_address", ""),
        "Networks": networks(record, now),
    }


def _of_default(now: State) -> dict[str, Any]:
    return next((end for end in now.networks.values() if end["name"] == "bridge"), {})


def _ports(record: Record, now: State) -> dict[str, list[dict[str, str]] | None]:
    ports: dict[str, list[dict[str, str]] | None] = dict.fromkeys(record.exposed)
    for host_ip, host_port, inner, protocol in now.ports:
        bindings = ports.get(f"{inner}/{protocol}") or []
        bindings.append({"HostIp": host_ip or "0.0.0.0", "HostPort": str(host_port)})
        ports[f"{inner}/{protocol}"] = bindings
    return ports


def networks(record: Record, now: State) -> dict[str, dict[str, Any]]:
    mode = record.spec.network
    if mode.startswith("container:"):
        return {}
    if mode in ("host", "none") and not record.attachments:
        return {mode: _endpoint(record, Attachment(network=mode), "", {})}
    there = {end["name"]: (network_id, end) for network_id, end in now.networks.items()}
    return {
        attachment.network: _endpoint(
            record, attachment, *there.get(attachment.network, (attachment.network_id, {}))
        )
        for attachment in sorted(record.attachments, key=lambda attachment: attachment.network)
    }


def _endpoint(
    record: Record, attachment: Attachment, network_id: str, there: dict[str, Any]
) -> dict[str, Any]:
    return {
        "IPAMConfig": _asked(attachment),
        "Links": [f"{target}:{alias}" for alias, target in attachment.links] or None,
        "Aliases": list(attachment.aliases) or None,
        "DriverOpts": dict(attachment.driver_options) or None,
        "GwPriority": attachment.gw_priority,
        "NetworkID": network_id,
        "EndpointID": there.get("endpoint_id", ""),
        "Gateway": there.get("gateway", ""),
        "IPAddress": there.get("ip_address", ""),
        "MacAddress": there.get("mac_address", attachment.mac_address),
        "IPPrefixLen": there.get("prefix_length", 0),
        "IPv6Gateway": there.get("gateway6", ""),
        "GlobalIPv6Address": there.get("ip6_address", ""),
        "GlobalIPv6PrefixLen": there.get("prefix_length6", 0),
        "DNSNames": _names(record, attachment),
    }


def _asked(attachment: Attachment) -> dict[str, Any] | None:
    asked = {
        "IPv4Address": attachment.ipv4,
        "IPv6Address": attachment.ipv6,
        "LinkLocalIPs": list(attachment.link_local_ips),
    }
    return {name: value for name, value in asked.items() if value} or None


def _names(record: Record, attachment: Attachment) -> list[str] | None:
    """The names under which a user-defined network's DNS has the container."""
    if attachment.network in ("bridge", "host", "none"):
        return None
    names = (record.name, *attachment.aliases, record.id[:12], record.hostname)
    return list(dict.fromkeys(name for name in names if name))
