"""`BridgeConfig`: what the rules of the host must know of one network, kept in a file too.

Whoever finds our nftables table gone makes it again from these files: a supervisor has no
database.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from msgspec import Struct, to_builtins

from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.network.nftables import wire as nft
from dockmagic_runtime.store.atomic import write_file

_NAME = "network.json"

BRIDGES = "bridges"
INTERNAL = "internal"
ICC = "together"
SUBNETS = "subnets"
MASQUERADED = "masqueraded"


class BridgeConfig(Struct, frozen=True, kw_only=True):
    """`icc`: its containers reach each other. `masquerade`: they go out under the host's address.

    `internal`: nothing leads out of it or into it.
    """

    bridge: str
    subnet: str
    subnet6: str = ""
    internal: bool = False
    icc: bool = True
    masquerade: bool = True

    @property
    def families(self) -> tuple[nft.Family, ...]:
        return (nft.IPV4, nft.IPV6) if self.subnet6 else (nft.IPV4,)

    def elements(self, family: nft.Family) -> Iterator[tuple[str, bytes]]:
        """What it has in the sets of the table of that family: set and encoded element."""
        subnet = self.subnet if family is nft.IPV4 else self.subnet6
        if not subnet:
            return
        name = nft.element(nft.interface_key(self.bridge))
        yield BRIDGES, name
        if self.internal:
            yield INTERNAL, name
        if self.icc:
            yield ICC, nft.element(nft.interface_key(self.bridge, self.bridge))
        span = _interval(subnet)
        yield SUBNETS, span
        if self.masquerade and not self.internal:
            yield MASQUERADED, span


def _interval(subnet: str) -> bytes:
    block = Block.parse(subnet).network
    size = block.bits // 8
    return nft.interval(block.first.to_bytes(size, "big"), block.last.to_bytes(size, "big"))


def write(directory: str, config: BridgeConfig) -> None:
    """Into the network's directory, which exists; whole or not at all."""
    write_file(f"{directory}/{_NAME}", json.dumps(to_builtins(config)).encode())


def read(directory: str) -> BridgeConfig | None:
    """What was written there; None when the network has gone meanwhile."""
    try:
        with open(f"{directory}/{_NAME}", "rb") as stream:
            return BridgeConfig(**json.load(stream))
    except FileNotFoundError:
        return None


def everything(networks: str) -> list[BridgeConfig]:
    """All that lie below the area's directory of networks."""
    try:
        names = os.listdir(networks)
    except FileNotFoundError:
        return []
    found = (read(f"{networks}/{name}") for name in sorted(names))
    return [one for one in found if one is not None]
