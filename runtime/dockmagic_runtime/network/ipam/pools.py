"""Blocks of addresses, and choosing a network's subnet: the first of Docker's pools that the host
does not use."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from msgspec import Struct

from dockmagic_runtime.errors import Conflict

_BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address: str) -> bytes:
    """Four bytes or sixteen. OSError for what is no address."""
    return socket.inet_pton(family_of(address), address)


def number_of(address: str) -> int:
    return int.from_bytes(packed(address), "big")


def address_of(number: int, bits: int = 32) -> str:
    family = socket.AF_INET if bits == 32 else socket.AF_INET6
    return socket.inet_ntop(family, number.to_bytes(bits // 8, "big"))


class Block(Struct, frozen=True):
    """A network as numbers: first address, prefix length, and bits of an address."""

    first: int
    length: int
    bits: int = 32

    @classmethod
    def parse(cls, text: str) -> Block:
        address, _, length = text.partition("/")
        bits = _BITS[family_of(address)]
        return cls(number_of(address), int(length or bits), bits)

    @property
    def last(self) -> int:
        return self.first + (1 << self.bits - self.length) - 1

    @property
    def network(self) -> Block:
        """The same with no bit set behind the prefix."""
        free = self.bits - self.length
        return Block(self.first >> free << free, self.length, self.bits)

    def overlaps(self, other: Block) -> bool:
        same = self.bits == other.bits
        return same and self.first <= other.last and other.first <= self.last

    def contains(self, address: str) -> bool:
        same = _BITS[family_of(address)] == self.bits
        return same and self.first <= number_of(address) <= self.last

    def __str__(self) -> str:
        return f"{address_of(self.first, self.bits)}/{self.length}"


def pools() -> Iterator[Block]:
    """172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and so on to 192.168.240.0/20."""
    for second in range(17, 32):
        yield Block.parse(f"172.{second}.0.0/16")
    for third in range(0, 256, 16):
        yield Block.parse(f"192.168.{third}.0/20")


def local_pools(seed: bytes) -> Iterator[Block]:
    """The /64s of one unique local /48 (RFC 4193), derived from `seed`."""
    site = b"\xfd" + seed[:5]
    for number in range(1 << 16):
        yield Block(int.from_bytes(site + number.to_bytes(2, "big") + bytes(8), "big"), 64, 128)


def choose(used: Iterable[Block], among: Iterable[Block] = ()) -> Block:
    """The first free pool. Raises Conflict when what is in use overlaps all of them."""
    taken = tuple(used)
    for pool in among or pools():
        if not any(pool.overlaps(block) for block in taken):
            return pool
    raise Conflict(
        "all predefined address pools have been fully subnetted",
        hint="choose a subnet with --subnet; networks that are no longer needed hold theirs, and "
        "this host may have routes into 172.16.0.0/12 and 192.168.0.0/16",
    )


def gateway_of(block: Block) -> str:
    return address_of(block.first + 1, block.bits)
