"""Changes of our tables: elements in messages of a bounded size, and a retried transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from dockmagic_runtime.linux.netlink import Message, Netlink
from dockmagic_runtime.network.nftables import wire as nft
from dockmagic_runtime.network.nftables.wire import Family

_ELEMENTS_PER_MESSAGE: Final = 256  # a nested attribute holds at most 64 KiB
_ERESTART: Final = 85

# one of `wire.add_elements` and `wire.delete_elements`
ElementMessage = Callable[[str, str, Iterable[bytes], Family], Message]


def in_messages(
    table: str, family: Family, by_set: Mapping[str, Sequence[bytes]], message: ElementMessage
) -> tuple[Message, ...]:
    """The messages that add or delete these elements, which are given by the name of their set."""
    return tuple(
        message(table, name, elements[start : start + _ELEMENTS_PER_MESSAGE], family)
        for name, elements in by_set.items()
        for start in range(0, len(elements), _ELEMENTS_PER_MESSAGE)
    )


def change(netlink: Netlink, messages: Callable[[], tuple[Message, ...]]) -> bool:
    """Send what `messages` returns as one transaction; whether there was anything to send.

    `messages` reads the rule set. It is called again when the rule set has changed between its
    reading and the transaction, so that no change of another process is lost.
    """
    while True:
        (answer,) = netlink.transact(nft.get_generation())
        wanted = messages()
        if not wanted:
            return False
        try:
            netlink.transact_batch(
                nft.NFNL_SUBSYS_NFTABLES, *wanted, generation=nft.generation(answer.payload)
            )
        except OSError as error:
            if error.errno != _ERESTART:
                raise
        else:
            return True
