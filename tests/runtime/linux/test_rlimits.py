"""--ulimit names and pairs."""

from __future__ import annotations

import resource

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.rlimits import RESOURCES, UNLIMITED, resolve


def test_names_become_the_numbers_of_setrlimit() -> None:
    assert resolve({"nofile": (1024, 2048), "core": (0, -1)}) == (
        (resource.RLIMIT_CORE, 0, UNLIMITED),
        (resource.RLIMIT_NOFILE, 1024, 2048),
    )


def test_every_resource_of_the_kernel_has_a_name_but_the_address_space() -> None:
    # Docker has no name for RLIMIT_AS (9)
    assert sorted(RESOURCES.values()) == [number for number in range(16) if number != 9]


@pytest.mark.parametrize("pair", [(2, 1), (-1, 5)])
def test_a_soft_limit_above_the_hard_one_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="soft limit must be less than or equal to hard limit"):
        resolve({"nproc": pair})


def test_a_misspelt_name_is_refused_with_the_near_one() -> None:
    with pytest.raises(InvalidInput, match="invalid ulimit type: nofiles") as caught:
        resolve({"nofiles": (1, 1)})
    assert caught.value.hint == "did you mean nofile?"
    with pytest.raises(InvalidInput) as caught:
        resolve({"qqq": (1, 1)})
    assert "one of core, cpu" in caught.value.hint
