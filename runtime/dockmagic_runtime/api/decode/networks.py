"""Endpoints and networks as the engine's attachments and specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockmagic_runtime.api.decode.documents import decode
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.network import Attachment, NetworkSpec, Pool
from dockmagic_runtime.options import networks as options
from dockmagic_runtime.wire.network import EndpointIPAMConfig, EndpointSettings, IpamSettings


def attachments(
    mode: str, mac_address: str, endpoints: Mapping[str, EndpointSettings]
) -> tuple[str, tuple[Attachment, ...]]:
    """The network of a container, and all its attachments, that one first.

    `mode` is the HostConfig's NetworkMode. `mac_address` is that of the whole container, as
    clients sent it before API 1.44.
    """
    network = "bridge" if mode in ("", "default") else mode
    asked = {
        "bridge" if name == "default" else name: endpoint for name, endpoint in endpoints.items()
    }
    if not asked and not mac_address:
        return network, ()
    first = attachment(network, asked.pop(network, EndpointSettings()))
    rest = [attachment(name, endpoint) for name, endpoint in asked.items()]
    mac = "" if first.mac_address else mac_address
    given = options.attachments([first, *rest], aliases=(), ipv4="", ipv6="", mac_address=mac)
    return network, given


def attachment(network: str, endpoint: EndpointSettings) -> Attachment:
    """Raises InvalidInput."""
    asked = endpoint.IPAMConfig or EndpointIPAMConfig()
    try:
        links = tuple(
            (alias, name) for name, alias in map(options.parse_link, endpoint.Links or ())
        )
        driver_options = tuple(
            options.parse_driver_option(f"{key}={text}")
            for key, text in (endpoint.DriverOpts or {}).items()
        )
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    return Attachment(
        network=network,
        aliases=tuple(endpoint.Aliases or ()),
        ipv4=options.parse_ipv4(asked.IPv4Address) if asked.IPv4Address else "",
        ipv6=options.parse_ipv6(asked.IPv6Address) if asked.IPv6Address else "",
        link_local_ips=tuple(map(options.parse_link_local, asked.LinkLocalIPs or ())),
        mac_address=options.parse_mac(endpoint.MacAddress) if endpoint.MacAddress else "",
        driver_options=driver_options,
        links=links,
        gw_priority=endpoint.GwPriority,
    )


def network_spec(source: Mapping[str, Any]) -> NetworkSpec:
    """The body of `POST /networks/create`. Raises InvalidInput."""
    ipam = decode(IpamSettings, source.get("IPAM"))
    if ipam.Driver not in ("", "default"):
        raise InvalidInput(f"could not find an ipam driver: {ipam.Driver}")
    if source.get("Ingress"):
        raise InvalidInput("this node is not a swarm manager, and has no ingress network")
    reference = source.get("ConfigFrom")
    return NetworkSpec(
        name=source.get("Name", ""),
        driver=source.get("Driver") or "bridge",
        pools=tuple(
            Pool(
                subnet=pool.Subnet,
                gateway=pool.Gateway,
                ip_range=pool.IPRange,
                reserved=tuple((pool.AuxAddress or {}).items()),
            )
            for pool in ipam.Config or ()
        ),
        internal=source.get("Internal") or False,
        attachable=source.get("Attachable") or False,
        ipv6=source.get("EnableIPv6") or False,
        labels=source.get("Labels") or {},
        options=source.get("Options") or {},
        ipam_options=ipam.Options or {},
        config_only=source.get("ConfigOnly") or False,
        config_from=reference.get("Network", "") if isinstance(reference, Mapping) else "",
    )
