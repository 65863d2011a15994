"""Networks in Docker's Engine API 1.50. Fields and types are those of moby's api/types/network."""

from __future__ import annotations

from typing import Any, ClassVar

from dockmagic_runtime.wire.go import ZERO_TIME, GoStruct, Time

StringMap = dict[str, str] | None


class EndpointIPAMConfig(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "network.EndpointIPAMConfig"
    omit_empty: ClassVar[frozenset[str]] = frozenset({"IPv4Address", "IPv6Address", "LinkLocalIPs"})

    IPv4Address: str = ""
    IPv6Address: str = ""
    LinkLocalIPs: list[str] | None = None


class EndpointSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "network.EndpointSettings"

    IPAMConfig: EndpointIPAMConfig | None = None
    Links: list[str] | None = None
    Aliases: list[str] | None = None
    MacAddress: str = ""
    DriverOpts: StringMap = None
    GwPriority: int = 0
    NetworkID: str = ""
    EndpointID: str = ""
    Gateway: str = ""
    IPAddress: str = ""
    IPPrefixLen: int = 0
    IPv6Gateway: str = ""
    GlobalIPv6Address: str = ""
    GlobalIPv6PrefixLen: int = 0
    DNSNames: list[str] | None = None


class IPAMConfig(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "network.IPAMConfig"
    json_names: ClassVar[dict[str, str]] = {"AuxAddress": "AuxiliaryAddresses"}
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Subnet", "IPRange", "Gateway", "AuxAddress"})

    Subnet: str = ""
    IPRange: str = ""
    Gateway: str = ""
    AuxAddress: StringMap = None


class IpamSettings(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "network.IPAM"

    Driver: str = ""
    Options: StringMap = None
    Config: list[IPAMConfig] | None = None


class ConfigReference(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "network.ConfigReference"

    Network: str = ""


class EndpointResource(GoStruct, frozen=True, kw_only=True):
    go_type: ClassVar[str] = "network.EndpointResource"

    Name: str = ""
    EndpointID: str = ""
    MacAddress: str = ""
    IPv4Address: str = ""
    IPv6Address: str = ""


class Inspect(GoStruct, frozen=True, kw_only=True):
    """`GET /networks/{id}`, and an element of `GET /networks`."""

    go_type: ClassVar[str] = "network.Inspect"
    json_names: ClassVar[dict[str, str]] = {"ID": "Id"}
    omit_empty: ClassVar[frozenset[str]] = frozenset({"Peers", "Services"})

    Name: str = ""
    ID: str = ""
    Created: Time = ZERO_TIME
    Scope: str = ""
    Driver: str = ""
    EnableIPv4: bool = False
    EnableIPv6: bool = False
    IPAM: IpamSettings = IpamSettings()
    Internal: bool = False
    Attachable: bool = False
    Ingress: bool = False
    ConfigFrom: ConfigReference = ConfigReference()
    ConfigOnly: bool = False
    Containers: dict[str, EndpointResource] | None = None
    Options: StringMap = None
    Labels: StringMap = None
    Peers: list[Any] | None = None
    Services: dict[str, Any] | None = None
