"""What the host's own firewall does to forwarded packets: a warning, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

from dockmagic_runtime.linux.netlink import Netlink, as_text, attributes
from dockmagic_runtime.network import expressions as nft

_FAMILY_NAMES = {nft.NFPROTO_INET: "inet", nft.NFPROTO_IPV4: "ip"}


@dataclass(frozen=True, slots=True)
class _Chain:
    family: int
    table: str
    name: str
    drops_forwarded: bool


def _as_chain(payload: bytes) -> _Chain:
    found = nft.body(payload)
    hook = attributes(found.get(4, b"")).get(1, b"")
    drops = hook == nft.HOOK_FORWARD.to_bytes(4, "big") and found.get(5) == bytes(4)
    return _Chain(payload[0], as_text(found[1]), as_text(found[3]), drops)


def forward_warning(netlink: Netlink, table: str, bridge: str) -> str:
    """Why containers will not reach the network, when the host's own firewall sees to that.

    An accept in our table cannot overrule a drop in another. Empty when nothing is in the way, or
    when that table has a rule that names our bridge: then somebody has thought of it.
    """
    chains = [_as_chain(answer.payload) for answer in netlink.dump(nft.get_chains())]
    for chain in chains:
        foreign = chain.family in _FAMILY_NAMES and chain.table != table
        if foreign and chain.drops_forwarded and not _mentions(netlink, chain, bridge):
            return _warning(chain, bridge, chains)
    return ""


def _mentions(netlink: Netlink, chain: _Chain, bridge: str) -> bool:
    name = bridge.encode() + b"\0"
    listed_rules = netlink.dump(nft.get_rules(chain.table, chain.family))
    return any(name in answer.payload for answer in listed_rules)


def _warning(chain: _Chain, bridge: str, chains: list[_Chain]) -> str:
    where = f"{_FAMILY_NAMES[chain.family]} {chain.table} {chain.name}"
    if chain.name == "FORWARD":  # made by iptables, whose users know it by that name
        has_docker = any(one.name == "DOCKER-USER" for one in chains)
        place = "DOCKER-USER" if has_docker else "FORWARD"
        remedy = [f"iptables -I {place} -{way} {bridge} -j ACCEPT" for way in "io"]
    else:
        remedy = [
            f'nft insert rule {where} {way} "{bridge}" accept' for way in ("iifname", "oifname")
        ]
    return (
        f"this host's firewall drops forwarded packets (policy drop in {where}): containers cannot "
        "reach the network and other machines cannot reach published ports. "
        f"To allow it: {'; '.join(remedy)}"
    )
