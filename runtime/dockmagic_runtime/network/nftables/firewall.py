"""Warns of a host firewall that drops forwarded packets, with the remedy."""

from __future__ import annotations

from msgspec import Struct

from dockmagic_runtime.linux.netlink import Netlink, as_text, attributes
from dockmagic_runtime.network.nftables import wire as nft

_FAMILY_NAMES = {nft.NFPROTO_INET: "inet", nft.NFPROTO_IPV4: "ip", nft.NFPROTO_IPV6: "ip6"}


class _Chain(Struct, frozen=True):
    family: int
    table: str
    name: str
    drops_forwarded: bool


def _as_chain(payload: bytes) -> _Chain:
    fields = nft.body(payload)
    hook = attributes(fields.get(4, b"")).get(1, b"")
    drops = hook == nft.HOOK_FORWARD.to_bytes(4, "big") and fields.get(5) == bytes(4)
    return _Chain(payload[0], as_text(fields[1]), as_text(fields[3]), drops)


def forward_warning(netlink: Netlink, table: str, bridge: str, *, ipv6: bool = False) -> str:
    """Why the host's firewall keeps containers from other hosts, and the remedy; else empty.

    An accept in our table cannot overrule a drop in another. A table with a rule that names our
    bridge is left out: its administrator has provided for it. Tables of IPv6 alone matter where the
    network has IPv6.
    """
    chains = [_as_chain(answer.payload) for answer in netlink.dump(nft.get_chains())]
    families = {*_FAMILY_NAMES} if ipv6 else {*_FAMILY_NAMES} - {nft.NFPROTO_IPV6}
    dropping = [
        chain
        for chain in chains
        if chain.family in families and chain.table != table
        if chain.drops_forwarded and not _mentions(netlink, chain, bridge)
    ]
    return _warning(dropping, bridge, chains) if dropping else ""


def _mentions(netlink: Netlink, chain: _Chain, bridge: str) -> bool:
    name = bridge.encode() + b"\0"
    listed_rules = netlink.dump(nft.get_rules(chain.table, chain.family))
    return any(name in answer.payload for answer in listed_rules)


def _warning(dropping: list[_Chain], bridge: str, chains: list[_Chain]) -> str:
    where = " and ".join(map(_format, dropping))
    remedy = [command for chain in dropping for command in _remedy(chain, bridge, chains)]
    return (
        f"this host's firewall drops forwarded packets (policy drop in {where}): containers cannot "
        "reach the network and other machines cannot reach published ports. "
        f"To allow it: {'; '.join(remedy)}"
    )


def _format(chain: _Chain) -> str:
    return f"{_FAMILY_NAMES[chain.family]} {chain.table} {chain.name}"


def _remedy(chain: _Chain, bridge: str, chains: list[_Chain]) -> list[str]:
    if chain.name != "FORWARD":
        ways = ("iifname", "oifname")
        return [f'nft insert rule {_format(chain)} {way} "{bridge}" accept' for way in ways]
    # a chain of iptables: its users know it by that name
    program = "ip6tables" if chain.family == nft.NFPROTO_IPV6 else "iptables"
    has_docker = any(
        other.name == "DOCKER-USER" and other.family == chain.family for other in chains
    )
    target = "DOCKER-USER" if has_docker else "FORWARD"
    return [f"{program} -I {target} -{way} {bridge} -j ACCEPT" for way in "io"]
