"""A network as it is asked for (`NetworkSpec`), as it is (`Network`), and being on one."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct, field

from dockmagic_runtime.model import forms
from dockmagic_runtime.model.checked import Checked

# the driver option of an endpoint that names its interface in the container
INTERFACE_NAME = "com.docker.network.endpoint.ifname"
PREDEFINED = ("bridge", "host", "none")


class Pool(Checked, frozen=True, kw_only=True):
    """The addresses of a network in one family: texts, empty where nothing was asked for.

    `reserved` are (name, address) pairs that no container gets: `--aux-address`.
    """

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    reserved: tuple[tuple[str, str], ...] = ()

    forms: ClassVar = {"reserved": forms.pairs}


class NetworkSpec(Checked, frozen=True, kw_only=True):
    """What `network create` asks for."""

    name: str
    driver: str = "bridge"
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    forms: ClassVar = {
        "pools": forms.pools,
        "labels": forms.mapping,
        "options": forms.mapping,
    }


class Network(Struct, frozen=True, kw_only=True):
    """One network of an area. `created` is in seconds since the epoch.

    `host` and `none` have neither bridge nor subnet; without IPv6 the fields ending in 6 are empty.
    """

    id: str
    name: str
    driver: str
    bridge: str
    subnet: str
    gateway: str
    created: float
    subnet6: str = ""
    gateway6: str = ""
    ip_range: str = ""
    ip_range6: str = ""
    reserved: tuple[tuple[str, str], ...] = ()
    internal: bool = False
    attachable: bool = False
    has_own_subnet: bool = False  # of the caller's choice: then addresses can be chosen too
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    scope = "local"

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def ipv6(self) -> bool:
        return bool(self.subnet6)

    @property
    def is_predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def prefix_length(self) -> int:
        return int(self.subnet.partition("/")[2])

    @property
    def prefix_length6(self) -> int:
        return int(self.subnet6.partition("/")[2] or 0)


class Attachment(Checked, frozen=True, kw_only=True):
    """One network of a container, with what was asked for there.

    `network` is a name; `network_id` is known once the container is made.
    """

    network: str
    network_id: str = ""
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac_address: str = ""
    driver_options: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # names that are its alone, and whose: name or id
    gw_priority: int = 0

    forms: ClassVar = {"driver_options": forms.pairs, "links": forms.pairs}


class PrunedNetworks(Struct, frozen=True, kw_only=True):
    """The names of what `network prune` has removed."""

    names: tuple[str, ...]
