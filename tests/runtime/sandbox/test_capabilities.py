"""--cap-add, --cap-drop and --privileged, as Docker reads them."""

from __future__ import annotations

import itertools

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.capabilities import NAMES
from dockmagic_runtime.sandbox.capabilities import DEFAULT, resolve

EVERYTHING = frozenset(NAMES)


def asked(add: str = "", drop: str = "", *, privileged: bool = False) -> frozenset[str]:
    return resolve(add.split(), drop.split(), privileged, available=EVERYTHING)


def test_a_container_has_fourteen_capabilities() -> None:
    assert asked() == DEFAULT
    assert len(DEFAULT) == 14
    assert DEFAULT <= EVERYTHING


@pytest.mark.parametrize("name", ["SYS_ADMIN", "sys_admin", "CAP_SYS_ADMIN", "cap_Sys_Admin"])
def test_the_prefix_and_the_case_do_not_matter(name: str) -> None:
    assert asked(add=name) == DEFAULT | {"CAP_SYS_ADMIN"}


def test_one_can_be_dropped() -> None:
    assert asked(drop="MKNOD") == DEFAULT - {"CAP_MKNOD"}


def test_all_can_be_added_but_for_what_is_dropped() -> None:
    assert asked(add="ALL") == EVERYTHING
    assert asked(add="all", drop="NET_ADMIN") == EVERYTHING - {"CAP_NET_ADMIN"}


def test_all_can_be_dropped_but_for_what_is_added() -> None:
    assert asked(drop="ALL") == frozenset()
    assert asked(add="CHOWN", drop="ALL") == {"CAP_CHOWN"}


def test_what_is_added_and_dropped_by_name_is_added() -> None:
    assert "CAP_SYS_TIME" in asked(add="SYS_TIME", drop="SYS_TIME")
    assert "CAP_CHOWN" in asked(add="CHOWN", drop="CHOWN")


def test_all_on_both_sides_adds_all() -> None:
    assert asked(add="ALL", drop="ALL") == EVERYTHING


def test_the_order_of_the_flags_does_not_matter() -> None:
    flags = ("NET_ADMIN", "ALL", "SYS_PTRACE")
    answers = {
        resolve(add, ("KILL", "CHOWN"), False, available=EVERYTHING)
        for add in itertools.permutations(flags)
    }
    assert answers == {EVERYTHING - {"CAP_KILL", "CAP_CHOWN"}}


def test_a_privileged_container_has_all_whatever_else_is_said() -> None:
    assert asked(drop="ALL", privileged=True) == EVERYTHING


def test_a_misspelt_name_is_refused_with_the_near_one() -> None:
    with pytest.raises(InvalidInput) as caught:
        asked(add="SYS_ADMN")
    assert caught.value.message == 'unknown capability: "CAP_SYS_ADMN"'
    assert caught.value.hint == "did you mean SYS_ADMIN?"


def test_a_name_like_no_other_is_refused_with_a_place_to_look() -> None:
    with pytest.raises(InvalidInput, match="XYZZY") as caught:
        asked(drop="XYZZY")
    assert caught.value.hint == "see capabilities(7)"


def test_what_we_have_not_got_ourselves_cannot_be_asked_for() -> None:
    with pytest.raises(InvalidInput, match="not available in the current environment"):
        resolve(["SYS_RESOURCE"], [], False, available=EVERYTHING - {"CAP_SYS_RESOURCE"})


def test_a_default_that_we_have_not_got_is_left_out() -> None:
    poor = frozenset({"CAP_CHOWN", "CAP_SYS_ADMIN"})
    assert resolve([], [], False, available=poor) == {"CAP_CHOWN"}
    assert resolve(["ALL"], [], False, available=poor) == poor
    assert resolve([], [], True, available=poor) == poor
