"""`BridgeConfig`: one network as our nftables rules see it, and its elements in their sets."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.network.nftables import wire as nft

# names of the sets
BRIDGES = "bridges"
INTERNAL = "internal"
ICC = "icc"
SUBNETS = "subnets"
MASQUERADED = "masqueraded"


class BridgeConfig(Struct, frozen=True, kw_only=True):
    """A network as the rules see it.

    `icc`: its containers reach each other. `masquerade`: packets leave under the host's address.
    `internal`: no packet leaves or enters the network.
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
        """Its elements in the sets of that family's table: name of the set and encoded element."""
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
