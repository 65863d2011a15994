"""Device rules as text for v1 and as a program for v2."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.cgroups.devices import ANY, DEFAULT_DEVICES, DeviceRule, device_program

KINDS = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}


def decide(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Run the eBPF that `device_program` writes, with the kernel's context for this access."""
    wanted = sum(ACCESS[letter] for letter in access)
    context = struct.pack("=III", wanted << 16 | KINDS[kind], major, minor)
    registers = [0] * 11
    code = list(struct.iter_unpack("=BBhi", program))
    position = 0
    while True:
        operation, pair, offset, value = code[position]
        to, source = pair & 15, pair >> 4
        position += 1
        match operation:
            case 0x61:
                assert source == 1, "only the context is memory"
                (registers[to],) = struct.unpack_from("=I", context, offset)
            case 0xBC:
                registers[to] = registers[source]
            case 0xB4:
                registers[to] = value
            case 0x54:
                registers[to] &= value
            case 0x74:
                registers[to] >>= value
            case 0x55:
                position += offset if registers[to] != value else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"unexpected instruction {operation:#x}")


def allowed(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    return any(
        rule.kind in ("a", kind)
        and rule.major in (ANY, major)
        and rule.minor in (ANY, minor)
        and set(access) <= set(rule.access)
        for rule in rules
    )


numbers = st.sampled_from([0, 1, 3, 5, 136, 259, 1048575])
accesses = st.sets(st.sampled_from("rwm"), min_size=1).map("".join)
rules = st.builds(
    DeviceRule,
    st.sampled_from("abc"),
    st.one_of(st.just(ANY), numbers),
    st.one_of(st.just(ANY), numbers),
    accesses,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(rules, max_size=6), st.sampled_from("bc"), numbers, numbers, accesses)
def test_the_program_allows_what_the_rules_say(
    chosen: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    expected = allowed(chosen, kind, major, minor, access)
    assert decide(device_program(chosen), kind, major, minor, access) is expected


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "is_allowed"),
    [
        ("c", 1, 3, "rw", True),  # null
        ("c", 1, 7, "r", True),  # full
        ("c", 5, 2, "rw", True),  # ptmx
        ("c", 136, 9, "rw", True),  # a terminal
        ("b", 8, 0, "m", True),  # making a node is allowed, opening it is not
        ("b", 8, 0, "r", False),
        ("b", 8, 0, "rm", False),
        ("c", 1, 1, "r", False),  # mem
        ("c", 10, 229, "rw", False),  # fuse
        ("c", 10, 200, "rw", False),  # tun
        ("b", 1, 3, "r", False),  # the numbers of null, of the other kind
    ],
)
def test_the_default_is_dockers(
    kind: str, major: int, minor: int, access: str, is_allowed: bool
) -> None:
    assert decide(device_program(DEFAULT_DEVICES), kind, major, minor, access) is is_allowed


def test_rules_are_written_as_devices_allow_takes_them() -> None:
    assert str(DeviceRule("c", 1, 3)) == "c 1:3 rwm"
    assert str(DeviceRule("b", access="m")) == "b *:* m"
    assert str(DeviceRule("c", 136, access="rw")) == "c 136:* rw"
