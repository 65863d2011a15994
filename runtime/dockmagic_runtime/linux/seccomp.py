"""Seccomp policies and their compiler to classic BPF.

A policy names calls; `compile_policy` resolves the names for the native architecture and for the
32-bit one that the same kernel also serves, and lays the numbers out as ranges with one outcome
each. A balanced search over those ranges decides a call in about seven jumps, and the kernel's
own cache of calls that are always allowed (Linux 5.11) can follow it, since such a path reads
nothing but the number. Other architectures, and x32 within x86-64, are never served.
"""

from __future__ import annotations

import errno
import struct
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.linux.syscall_table import numbers

KILL_PROCESS: Final = 0x8000_0000
KILL_THREAD: Final = 0x0000_0000
TRAP: Final = 0x0003_0000
TRACE: Final = 0x7FF0_0000
LOG: Final = 0x7FFC_0000
ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
_DATA: Final = 0x0000_FFFF
_PERMISSIVE: Final = frozenset({ALLOW, LOG, TRACE})

# The architectures one filter serves, native first, and their AUDIT_ARCH_ numbers.
SERVED: Final = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64", "arm")}
AUDIT: Final = {
    "x86_64": 0xC000_003E,
    "i386": 0x4000_0003,
    "aarch64": 0xC000_00B7,
    "arm": 0x4000_0028,
}
_ALIASES: Final = {"amd64": "x86_64", "arm64": "aarch64"}

_X32_BIT: Final = 0x4000_0000
_ARM_PRIVATE: Final = 0x000F_0000  # __ARM_NR_BASE: calls that are not in the common table
_WORD: Final = 0xFFFF_FFFF
_SHORT: Final = 255  # a conditional jump has eight bits
_MAX_INSTRUCTIONS: Final = 4096  # BPF_MAXINSNS

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]
_NUMBER: Final = 0
_ARCH: Final = 4
_ARGUMENTS: Final = 16

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_JEQ: Final = 0x15
_JGT: Final = 0x25
_JGE: Final = 0x35
_RETURN: Final = 0x06  # BPF_RET | BPF_K


def errno_action(number: int) -> int:
    """The call is not made and fails with `number`."""
    return _ERRNO | number & _DATA


class Comparison(StrEnum):
    """How a condition compares an argument, under libseccomp's names."""

    EQ = "EQ"
    NE = "NE"
    LT = "LT"
    LE = "LE"
    GE = "GE"
    GT = "GT"
    MASKED_EQ = "MASKED_EQ"


class Condition(Struct, frozen=True, kw_only=True):
    """`argument[index] comparison value`, on all 64 bits; MASKED_EQ compares `argument & mask`."""

    index: int
    comparison: Comparison
    value: int
    mask: int = 0


class Rule(Struct, frozen=True, kw_only=True):
    """`action` for the calls `names` when all conditions hold. Unknown names are no error: the
    call does not exist on this architecture."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...] = ()


class Policy(Struct, frozen=True, kw_only=True):
    """For one call the rules with conditions are tried in order, then the first one without any;
    if none fits, `default` is done."""

    default: int
    rules: tuple[Rule, ...]
    architectures: tuple[str, ...]


class _Instruction(Struct, frozen=True):
    code: int
    k: int
    on_true: int = 0
    on_false: int = 0


# What remains for one call: (conditions, action) in order, the last one without conditions.
_Outcome = tuple[tuple[tuple[Condition, ...], int], ...]
_Code = list[_Instruction]


def native_architecture(machine: str) -> str:
    """The name used here for what uname calls `machine`."""
    name = _ALIASES.get(machine, machine)
    if name not in SERVED:
        raise Unsupported(
            f"no seccomp filter can be made for {machine}",
            hint="run with --security-opt seccomp=unconfined",
        )
    return name


def compile_policy(policy: Policy) -> bytes:
    """An array of struct sock_filter for `policy`, for seccomp(2)."""
    code: _Code = [_Instruction(_LOAD, _ARCH)]
    for architecture in policy.architectures:
        body = [_Instruction(_LOAD, _NUMBER), *_search(_ranges(policy, architecture))]
        code += [*_unless_equal(AUDIT[architecture], len(body)), *body]
    code.append(_Instruction(_RETURN, KILL_PROCESS))
    if len(code) > _MAX_INSTRUCTIONS:
        raise InvalidInput(
            f"the seccomp profile needs {len(code)} BPF instructions, "
            f"the kernel takes {_MAX_INSTRUCTIONS}"
        )
    return b"".join(struct.pack("=HBBI", i.code, i.on_true, i.on_false, i.k) for i in code)


def _unless_equal(value: int, skip: int) -> _Code:
    """Jump over `skip` instructions unless the accumulator holds `value`."""
    return [_Instruction(_JEQ, value, 1, 0), _Instruction(_JUMP, skip)]


def _ranges(policy: Policy, architecture: str) -> list[tuple[int, _Outcome]]:
    """(first number, outcome) in rising order; each lasts until the next one's first number.

    Above the last call that the policy names, a call fails as on a kernel that does not have it,
    so that a C library falls back instead of giving up (what runc does for Docker). On x86-64
    this covers x32, whose numbers all have bit 30 set.
    """
    outcomes = _outcomes(policy, architecture)
    default: _Outcome = (((), policy.default),)
    missing: _Outcome = (((), errno_action(errno.ENOSYS)),)
    beyond = default if policy.default in _PERMISSIVE else missing
    last = max((number for number in outcomes if number < _ARM_PRIVATE), default=-1)
    ranges: list[tuple[int, _Outcome]] = []
    position = 0
    for number in sorted(outcomes):
        if number > position:
            _extend(ranges, position, default if position <= last else beyond)
        _extend(ranges, number, outcomes[number])
        position = number + 1
    _extend(ranges, position, beyond)
    if architecture == "x86_64":
        _extend(ranges, _X32_BIT, missing)
    return ranges


def _extend(ranges: list[tuple[int, _Outcome]], first: int, outcome: _Outcome) -> None:
    if not ranges or ranges[-1][1] != outcome:
        ranges.append((first, outcome))


def _outcomes(policy: Policy, architecture: str) -> dict[int, _Outcome]:
    table = numbers(architecture)
    conditional: dict[int, _Outcome] = {}
    plain: dict[int, int] = {}
    for rule in policy.rules:
        for number in (table[name] for name in rule.names if name in table):
            if not rule.conditions:
                plain.setdefault(number, rule.action)
            else:
                earlier = conditional.get(number, ())
                conditional[number] = (*earlier, (rule.conditions, rule.action))
    return {
        number: (*conditional.get(number, ()), ((), plain.get(number, policy.default)))
        for number in plain.keys() | conditional.keys()
    }


def _search(ranges: list[tuple[int, _Outcome]]) -> _Code:
    """A balanced tree over the ranges; the accumulator holds the call's number."""
    if len(ranges) == 1:
        return _decide(ranges[0][1])
    middle = len(ranges) // 2
    lower, upper = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(lower) <= _SHORT:
        return [_Instruction(_JGE, first, len(lower), 0), *lower, *upper]
    return [_Instruction(_JGE, first, 0, 1), _Instruction(_JUMP, len(lower)), *lower, *upper]


def _decide(outcome: _Outcome) -> _Code:
    code: _Code = []
    for conditions, action in reversed(outcome):
        code = [*_all_hold(conditions), _Instruction(_RETURN, action), *code]
    return code


def _all_hold(conditions: tuple[Condition, ...]) -> _Code:
    """Falls through when all conditions hold, else jumps over the one instruction after it."""
    code: _Code = []
    for condition in reversed(conditions):
        code = [*_test(condition, len(code) + 1), *code]
    return code


def _test(condition: Condition, fail: int) -> _Code:
    """Falls through when the condition holds, else jumps over the `fail` instructions after it.

    BPF works on 32 bits: the high half decides unless it is equal, then the low half does.
    """
    match condition.comparison:
        case Comparison.EQ:
            return _equal(condition, fail)
        case Comparison.MASKED_EQ:
            return _masked_equal(condition, fail)
        case Comparison.NE:
            load_high, is_high, load_low, is_low = _equal(condition, 0)
            return [
                load_high,
                replace(is_high, on_false=2),
                load_low,
                replace(is_low, on_true=fail, on_false=0),
            ]
        case Comparison.GE | Comparison.GT:
            return _ordered(condition, holds=0, fails=fail)
        case Comparison.LT | Comparison.LE:
            return _ordered(condition, holds=fail, fails=0)


def _halves(condition: Condition) -> tuple[int, int, int, int]:
    """Offsets of the argument's high and low half, and the halves of the value."""
    low = _ARGUMENTS + 8 * condition.index  # both architectures are little-endian
    return low + 4, low, condition.value >> 32 & _WORD, condition.value & _WORD


def _equal(condition: Condition, fail: int) -> _Code:
    high, low, value_high, value_low = _halves(condition)
    return [
        _Instruction(_LOAD, high),
        _Instruction(_JEQ, value_high, 0, fail + 2),
        _Instruction(_LOAD, low),
        _Instruction(_JEQ, value_low, 0, fail),
    ]


def _masked_equal(condition: Condition, fail: int) -> _Code:
    high, low, value_high, value_low = _halves(condition)
    return [
        _Instruction(_LOAD, high),
        _Instruction(_AND, condition.mask >> 32 & _WORD),
        _Instruction(_JEQ, value_high, 0, fail + 3),
        _Instruction(_LOAD, low),
        _Instruction(_AND, condition.mask & _WORD),
        _Instruction(_JEQ, value_low, 0, fail),
    ]


def _ordered(condition: Condition, *, holds: int, fails: int) -> _Code:
    """Jump over `holds` instructions if the argument is GE (for GE, LT) or GT (for GT, LE) the
    value, over `fails` if not."""
    high, low, value_high, value_low = _halves(condition)
    inclusive = condition.comparison in (Comparison.GE, Comparison.LT)
    return [
        _Instruction(_LOAD, high),
        _Instruction(_JGT, value_high, holds + 3, 0),
        _Instruction(_JEQ, value_high, 0, fails + 2),
        _Instruction(_LOAD, low),
        _Instruction(_JGE if inclusive else _JGT, value_low, holds, fails),
    ]
