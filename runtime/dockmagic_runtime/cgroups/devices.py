"""Which device nodes a container may make and open.

v1 takes such rules as lines of text. v2 asks a program in the kernel instead, which is assembled
here by hand: the rules become compare-and-skip sequences, the first that fits allows, the end
denies (linux/bpf.h, BPF_PROG_TYPE_CGROUP_DEVICE).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput

ANY: Final = -1

_KINDS: Final = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, _CHAR
_ACCESS: Final = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_MKNOD, _READ, _WRITE

_LOAD_WORD: Final = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE: Final = 0xBC  # BPF_ALU | BPF_MOV | BPF_X
_SET: Final = 0xB4  # BPF_ALU | BPF_MOV | BPF_K
_AND: Final = 0x54
_SHIFT_RIGHT: Final = 0x74
_JUMP_UNLESS_EQUAL: Final = 0x55  # BPF_JMP | BPF_JNE | BPF_K
_EXIT: Final = 0x95
_RESULT, _SCRATCH, _KIND, _WANTED, _MAJOR, _MINOR = range(6)  # the registers r0 to r5


class DeviceRule(Struct, frozen=True):
    """`kind` is "b", "c", or "a" for both; `access` any of read, write and mknod."""

    kind: str
    major: int = ANY
    minor: int = ANY
    access: str = "rwm"

    @classmethod
    def parse(cls, text: str) -> DeviceRule:
        """`--device-cgroup-rule`: "c 1:* rwm". Raises InvalidInput in Docker's words."""
        match = re.fullmatch(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})", text)
        if match is None:
            raise InvalidInput(f"invalid device cgroup format '{text}'")
        kind, *numbers, access = match.groups()
        major, minor = (ANY if number == "*" else int(number) for number in numbers)
        return cls(kind, major, minor, access)

    def __str__(self) -> str:
        """As devices.allow takes it: `c 1:3 rwm`."""
        major, minor = ("*" if number == ANY else number for number in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"


# What Docker allows every container: any node may be made, these may be opened.
DEFAULT_DEVICES: Final = (
    DeviceRule("c", access="m"),
    DeviceRule("b", access="m"),
    DeviceRule("c", 1, 3),  # null
    DeviceRule("c", 1, 5),  # zero
    DeviceRule("c", 1, 7),  # full
    DeviceRule("c", 1, 8),  # random
    DeviceRule("c", 1, 9),  # urandom
    DeviceRule("c", 5, 0),  # tty
    DeviceRule("c", 5, 1),  # console
    DeviceRule("c", 5, 2),  # ptmx
    DeviceRule("c", 136),  # the terminals of devpts
)


def _instruction(
    code: int, destination: int = 0, source: int = 0, offset: int = 0, value: int = 0
) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | destination, offset, value)


def device_program(rules: Sequence[DeviceRule]) -> bytes:
    """eBPF that returns 1 for an access that one of `rules` allows, else 0.

    The context that the kernel passes in r1 is three words: the access wanted above the kind of
    device, the major number, the minor number.
    """
    head = [
        _instruction(_LOAD_WORD, _KIND, 1, 0),
        _instruction(_LOAD_WORD, _MAJOR, 1, 4),
        _instruction(_LOAD_WORD, _MINOR, 1, 8),
        _instruction(_MOVE, _WANTED, _KIND),
        _instruction(_SHIFT_RIGHT, _WANTED, value=16),
        _instruction(_AND, _KIND, value=0xFFFF),
    ]
    deny = [_instruction(_SET, _RESULT, value=0), _instruction(_EXIT)]
    body: list[bytes] = []
    for rule in rules:
        body += _allow(rule)
        if rule == DeviceRule("a"):  # always fits: the verifier refuses code that is never reached
            return b"".join([*head, *body])
    return b"".join([*head, *body, *deny])


def _allow(rule: DeviceRule) -> list[bytes]:
    code = [_instruction(_SET, _RESULT, value=1), _instruction(_EXIT)]
    for register, number in ((_MINOR, rule.minor), (_MAJOR, rule.major)):
        if number != ANY:
            code = [_skip_unless(register, number, code), *code]
    refused = sum(bit for letter, bit in _ACCESS.items() if letter not in rule.access)
    if refused:  # of the accesses wanted at once, none may be outside of the rule
        code = [
            _instruction(_MOVE, _SCRATCH, _WANTED),
            _instruction(_AND, _SCRATCH, value=refused),
            _skip_unless(_SCRATCH, 0, code),
            *code,
        ]
    if rule.kind in _KINDS:
        code = [_skip_unless(_KIND, _KINDS[rule.kind], code), *code]
    return code


def _skip_unless(register: int, value: int, rest: list[bytes]) -> bytes:
    return _instruction(_JUMP_UNLESS_EQUAL, register, offset=len(rest), value=value)
