"""Which subnet the default network gets."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.network.ipam import pools
from dockmagic_runtime.network.ipam.pools import Block

blocks = st.builds(
    lambda number, length: Block(number >> 32 - length << 32 - length, length),
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


def test_the_pools_are_dockers() -> None:
    texts = list(map(str, pools.pools()))
    assert texts[0] == "172.17.0.0/16"
    assert texts[14:17] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    assert texts[-1] == "192.168.240.0/20"
    assert len(texts) == 15 + 16


@given(blocks, blocks)
@settings(max_examples=200, deadline=None)
def test_overlap_is_what_ipaddress_says(block: Block, other: Block) -> None:
    first, second = ipaddress.IPv4Network(str(block)), ipaddress.IPv4Network(str(other))
    assert block.overlaps(other) == first.overlaps(second)


@given(blocks)
@settings(max_examples=100, deadline=None)
def test_text_and_value_are_the_same(block: Block) -> None:
    assert Block.parse(str(block)) == block


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], "172.17.0.0/16"),
        (["10.0.0.0/8"], "172.17.0.0/16"),
        (["172.17.5.0/24"], "172.18.0.0/16"),
        (["172.16.0.0/13"], "172.24.0.0/16"),
        (["172.16.0.0/12"], "192.168.0.0/20"),
        (["172.16.0.0/12", "192.168.1.0/24"], "192.168.16.0/20"),
        (["172.17.0.53"], "172.18.0.0/16"),
    ],
)
def test_the_first_pool_without_overlap_is_taken(used: list[str], expected: str) -> None:
    assert str(pools.choose(map(Block.parse, used))) == expected


def test_no_pool_left_is_an_error_that_says_what_is_in_the_way() -> None:
    with pytest.raises(
        Conflict, match="all predefined address pools have been fully subnetted"
    ) as caught:
        pools.choose([Block.parse("172.16.0.0/12"), Block.parse("192.168.0.0/16")])
    assert caught.value.hint


def test_the_gateway_is_the_first_address() -> None:
    assert pools.gateway_of(Block.parse("192.168.16.0/20")) == "192.168.16.1"
