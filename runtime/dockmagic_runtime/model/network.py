"""A network as it is asked for (`NetworkSpec`), as it is (`Network`), and being on one."""

# No annotations as texts: msgspec compiles each when it first uses the class, 10 us a field.

from typing import ClassVar

from msgspec import Struct, field

from dockmagic_runtime.model import forms
from dockmagic_runtime.model.checked import Checked

# the driver option of an endpoint that names its interface in the container
INTERFACE_NAME = "com.docker.network.endpoint.ifname"
PREDEFINED = ("bridge", "host", "none")
# what a configuration cannot have, in Docker's words
OPERATOR_FIELDS = (
    "configuration network can only contain network specific fields. Network operator fields like "
    "[ ingress | internal | attachable | scope ] are not supported."
)


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
    """What `network create` asks for.

    `config_only`: a configuration that other networks take over by naming it in `config_from`.
    """

    name: str
    driver: str = "bridge"
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    ipam_options: dict[str, str] = field(default_factory=dict)
    config_only: bool = False
    config_from: str = ""

    forms: ClassVar = {
        "pools": forms.pools,
        "labels": forms.mapping,
        "options": forms.mapping,
        "ipam_options": forms.mapping,
    }


class Network(Struct, frozen=True, kw_only=True):
    """One network. `created` is in seconds since the epoch.

    `host`, `none` and a configuration (`config_only`) have neither bridge nor subnet; without IPv6
    the fields ending in 6 are empty. `pools` and `wants_ipv6` are those of a configuration.
    `damage` says what was lost of the network, if its row in the database is damaged.
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
    ipam_options: dict[str, str] = field(default_factory=dict)
    config_only: bool = False
    config_from: str = ""
    pools: tuple[Pool, ...] = ()
    wants_ipv6: bool = False
    damage: str = ""

    scope = "local"

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def ipv6(self) -> bool:
        return bool(self.subnet6) or self.wants_ipv6

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

    `network` is a name; `network_id` is known once the container is created. `link_local_ips` are
    further addresses of the interface, in 169.254.0.0/16 or fe80::/64.
    """

    network: str
    network_id: str = ""
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac_address: str = ""
    driver_options: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # names for it alone, and their targets: name or id
    gw_priority: int = 0
    link_local_ips: tuple[str, ...] = ()

    forms: ClassVar = {"driver_options": forms.pairs, "links": forms.pairs}


class PrunedNetworks(Struct, frozen=True, kw_only=True):
    """The names of what `network prune` has removed."""

    names: tuple[str, ...]
