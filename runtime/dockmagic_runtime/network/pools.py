"""Choosing the default network's subnet: the first of Docker's pools that the host does not use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.network.leases import address_of, number_of


@dataclass(frozen=True, slots=True)
class Block:
    """An IPv4 network as numbers: first address and prefix length."""

    first: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Block:
        address, _, length = text.partition("/")
        return cls(number_of(address), int(length or 32))

    @property
    def last(self) -> int:
        return self.first + (1 << 32 - self.length) - 1

    def overlaps(self, other: Block) -> bool:
        return self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        return f"{address_of(self.first)}/{self.length}"


def pools() -> Iterator[Block]:
    """172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and so on to 192.168.240.0/20."""
    for second in range(17, 32):
        yield Block.parse(f"172.{second}.0.0/16")
    for third in range(0, 256, 16):
        yield Block.parse(f"192.168.{third}.0/20")


def choose(used: Iterable[Block]) -> Block:
    """The first free pool. Raises Conflict when the host's networks overlap all of them."""
    taken = tuple(used)
    for pool in pools():
        if not any(pool.overlaps(block) for block in taken):
            return pool
    raise Conflict(
        "could not find an available, non-overlapping IPv4 address pool for the bridge network",
        hint="this host has routes into all of 172.16.0.0/12 and 192.168.0.0/16",
    )


def gateway_of(block: Block) -> str:
    return address_of(block.first + 1)
