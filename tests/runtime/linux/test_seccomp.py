"""The BPF that policies compile to: judged by an interpreter, by libseccomp and by the kernel."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.seccomp import (
    ALLOW,
    AUDIT,
    KILL_PROCESS,
    LOG,
    SERVED,
    Comparison,
    Condition,
    Policy,
    Rule,
    compile_policy,
    errno_action,
    native_architecture,
)
from dockmagic_runtime.linux.syscall_table import numbers
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.capabilities import DEFAULT
from dockmagic_runtime.sandbox.seccomp_json import parse_profile
from dockmagic_runtime.testing.bpf import action_of, run, steps_of
from dockmagic_runtime.testing.child import in_child

EPERM = errno_action(errno.EPERM)
ENOSYS = errno_action(errno.ENOSYS)
NATIVE = native_architecture(platform.machine())
PODMAN_PROFILE = Path("/usr/share/containers/seccomp.json")

words = st.one_of(
    st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)


def policy(*rules: Rule, default: int = EPERM, native: str = "x86_64") -> Policy:
    return Policy(default=default, rules=rules, architectures=SERVED[native])


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("architecture", "known"),
    [
        ("x86_64", {"read": 0, "clone3": 435, "uretprobe": 335, "removexattrat": 466}),
        ("i386", {"exit": 1, "socketcall": 102, "clock_gettime64": 403, "mseal": 462}),
        ("aarch64", {"io_setup": 0, "clone": 220, "newfstatat": 79, "mseal": 462}),
        ("arm", {"exit": 1, "clone": 120, "set_tls": 0xF0005, "mseal": 462}),
    ],
)
def test_the_tables_hold_known_numbers(architecture: str, known: dict[str, int]) -> None:
    table = numbers(architecture)
    assert {name: table[name] for name in known} == known
    assert len(set(table.values())) == len(table)


# ---------------------------------------------------------------------- conditions


def _holds(condition: Condition, argument: int) -> bool:
    value = condition.value
    return {
        Comparison.EQ: argument == value,
        Comparison.NE: argument != value,
        Comparison.LT: argument < value,
        Comparison.LE: argument <= value,
        Comparison.GE: argument >= value,
        Comparison.GT: argument > value,
        Comparison.MASKED_EQ: argument & condition.mask == value,
    }[condition.comparison]


conditions = st.builds(
    Condition,
    index=st.integers(0, 5),
    comparison=st.sampled_from(Comparison),
    value=words,
    mask=words,
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(conditions, min_size=1, max_size=6), max_size=3),
    st.lists(words, min_size=6, max_size=6),
    st.one_of(st.none(), st.integers(-1, 1)),
)
def test_conditions_are_judged_on_all_64_bits(
    alternatives: list[list[Condition]], arguments: list[int], nudge: int | None
) -> None:
    if alternatives and nudge is not None:  # make a border case of the first condition
        first = alternatives[0][0]
        arguments[first.index] = (first.value + nudge) % 2**64
    rules = [
        Rule(names=("ioctl",), action=errno_action(number), conditions=tuple(group))
        for number, group in enumerate(alternatives, 1)
    ]
    program = compile_policy(policy(*rules, default=ALLOW))
    expected = next(
        (
            rule.action
            for rule in rules
            if all(_holds(condition, arguments[condition.index]) for condition in rule.conditions)
        ),
        ALLOW,
    )
    for architecture in ("x86_64", "i386"):
        number = numbers(architecture)["ioctl"]
        assert action_of(program, architecture, number, *arguments) == expected


def test_a_rule_with_conditions_goes_before_one_without() -> None:
    program = compile_policy(
        policy(
            Rule(names=("socket",), action=ALLOW),
            Rule(
                names=("socket",),
                action=EPERM,
                conditions=(Condition(index=0, comparison=Comparison.EQ, value=40),),
            ),
        )
    )
    socket = numbers("x86_64")["socket"]
    assert action_of(program, "x86_64", socket, 40) == EPERM
    assert action_of(program, "x86_64", socket, 2) == ALLOW


# ---------------------------------------------------------------------- numbers and architectures


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.sampled_from(sorted(numbers("x86_64"))), max_size=360),
    st.sampled_from(sorted(SERVED)),
)
def test_exactly_the_named_calls_are_allowed(names: set[str], native: str) -> None:
    program = compile_policy(policy(Rule(names=tuple(names), action=ALLOW), native=native))
    for architecture in SERVED[native]:
        table = numbers(architecture)
        last = max((table[name] for name in names if name in table), default=-1)
        for name, number in table.items():
            refused = EPERM if number <= last else ENOSYS
            expected = ALLOW if name in names else refused
            assert action_of(program, architecture, number) == expected, (architecture, name)


def test_a_call_newer_than_the_policy_does_not_exist() -> None:
    program = compile_policy(policy(Rule(names=("read", "mseal"), action=ALLOW)))
    mseal = numbers("x86_64")["mseal"]
    assert action_of(program, "x86_64", mseal) == ALLOW
    assert action_of(program, "x86_64", mseal - 1) == EPERM
    assert action_of(program, "x86_64", mseal + 1) == ENOSYS


@pytest.mark.parametrize("default", [ALLOW, LOG])
def test_a_permissive_policy_lets_newer_calls_through(default: int) -> None:
    program = compile_policy(policy(Rule(names=("read",), action=EPERM), default=default))
    assert action_of(program, "x86_64", 5000) == default


@pytest.mark.parametrize("default", [ALLOW, EPERM])
@pytest.mark.parametrize("number", [0, 1, 59, 512, 0xFFF_FFFF])
def test_x32_is_refused_whatever_the_policy(default: int, number: int) -> None:
    program = compile_policy(policy(Rule(names=("read", "write"), action=ALLOW), default=default))
    assert action_of(program, "x86_64", 0x4000_0000 | number) == ENOSYS


def test_the_calls_that_only_arm_has_are_reached_far_above_the_others() -> None:
    program = compile_policy(
        policy(Rule(names=("read", "set_tls", "mseal"), action=ALLOW), native="aarch64")
    )
    assert action_of(program, "arm", 0xF0005) == ALLOW
    assert action_of(program, "arm", 0xF0004) == ENOSYS
    assert action_of(program, "arm", 0xF0006) == ENOSYS
    assert action_of(program, "arm", 463) == ENOSYS


@pytest.mark.parametrize("native", SERVED)
def test_an_architecture_that_is_not_served_is_killed(native: str) -> None:
    program = compile_policy(policy(Rule(names=("read",), action=ALLOW), native=native))
    for architecture, audit in AUDIT.items():
        if architecture not in SERVED[native]:
            assert run(program, audit, 0)[0] == KILL_PROCESS
    assert run(program, 0x8000_0016, 0)[0] == KILL_PROCESS  # s390x


def test_a_policy_may_serve_the_native_architecture_alone() -> None:
    only = Policy(default=ALLOW, rules=(), architectures=("x86_64",))
    assert action_of(compile_policy(only), "i386", 1) == KILL_PROCESS


def test_a_call_is_decided_in_few_steps() -> None:
    scattered = tuple(sorted(numbers("x86_64"), key=numbers("x86_64").__getitem__)[::2])
    program = compile_policy(policy(Rule(names=scattered, action=ALLOW)))
    table = numbers("x86_64")
    assert len(program) // 8 > 700  # as bad as it gets: nearly every number is its own range
    assert max(steps_of(program, "x86_64", number) for number in table.values()) <= 24


def test_jumps_over_more_than_a_byte_can_say_still_land() -> None:
    table = numbers("x86_64")
    rules = [
        Rule(
            names=(name,),
            action=errno_action(number + 1),
            conditions=(Condition(index=0, comparison=Comparison.EQ, value=7),),
        )
        for name, number in table.items()
        if number < 300
    ]
    program = compile_policy(Policy(default=ALLOW, rules=tuple(rules), architectures=("x86_64",)))
    for rule in rules:
        assert action_of(program, "x86_64", table[rule.names[0]], 7) == rule.action
        assert action_of(program, "x86_64", table[rule.names[0]], 8) == ALLOW


def test_a_policy_too_large_for_the_kernel_is_refused() -> None:
    rules = tuple(
        Rule(
            names=(name,),
            action=EPERM,
            conditions=tuple(
                Condition(index=index, comparison=Comparison.GT, value=number) for index in range(6)
            ),
        )
        for name, number in numbers("x86_64").items()
    )
    with pytest.raises(InvalidInput, match=r"needs \d+ BPF instructions, the kernel takes 4096"):
        compile_policy(policy(*rules))


def test_a_machine_without_a_table_is_named() -> None:
    assert native_architecture("arm64") == "aarch64"
    with pytest.raises(Unsupported, match="riscv64"):
        native_architecture("riscv64")


# ---------------------------------------------------------------------- against libseccomp


class _Comparator(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class Libseccomp:
    """A filter built by the library that Docker's runtime uses (seccomp.h of libseccomp 2.5)."""

    COMPARISONS = ("", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
    TOLERATED = (errno.EEXIST, errno.EACCES, errno.EDOM)  # twice, equals default, not on this arch

    def __init__(self, policy: Policy) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(policy.default)))
        for architecture in policy.architectures[1:]:
            token = ctypes.c_uint32(AUDIT[architecture])
            self._check(self._library.seccomp_arch_add(self._context, token))
        for rule in policy.rules:
            for name in rule.names:
                self._add(name, rule)

    def _check(self, result: int) -> None:
        if result < 0 and -result not in self.TOLERATED:
            raise OSError(-result, os.strerror(-result))

    def _add(self, name: str, rule: Rule) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        array = (_Comparator * max(1, len(rule.conditions)))()
        for slot, condition in zip(array, rule.conditions, strict=False):
            values = (condition.mask, condition.value) if condition.mask else (condition.value, 0)
            slot.argument, slot.a, slot.b = condition.index, *values
            slot.comparison = self.COMPARISONS.index(condition.comparison.value)
        if number == -1:  # unknown to this version of the library
            return
        self._check(
            self._library.seccomp_rule_add_array(
                self._context, ctypes.c_uint32(rule.action), number, len(rule.conditions), array
            )
        )

    def program(self) -> bytes:
        with tempfile.TemporaryFile() as stream:
            self._check(self._library.seccomp_export_bpf(self._context, stream.fileno()))
            stream.seek(0)
            return stream.read()

    def close(self) -> None:
        self._library.seccomp_release(self._context)


@pytest.fixture(scope="module")
def podman() -> Iterator[tuple[bytes, bytes]]:
    """Debian's podman profile as our program and as libseccomp's."""
    if not PODMAN_PROFILE.exists():
        pytest.skip("optional: golang-github-containers-common is not installed")
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("optional: libseccomp is not installed")
    parsed = parse_profile(PODMAN_PROFILE.read_text(), DEFAULT, NATIVE)
    reference = Libseccomp(parsed)
    yield compile_policy(parsed), reference.program()
    reference.close()


def test_every_call_is_judged_as_by_libseccomp(podman: tuple[bytes, bytes]) -> None:
    ours, theirs = podman
    interesting = (0, 8, 9, 16, 38, 40, 0x20000, 0x20008, 0xFFFFFFFF, 2**32 + 16, 2**64 - 1)
    for architecture in SERVED[NATIVE]:
        for number in range(500):
            for first in interesting:
                for third in (0, 9, 2**32 + 9):
                    if max(first, third) > 0xFFFF_FFFF and architecture != NATIVE:
                        continue  # a 32-bit process has no such argument
                    call = (number, first, 0, third)
                    assert action_of(ours, architecture, *call) == action_of(
                        theirs, architecture, *call
                    ), (architecture, call)


def test_ours_decides_in_a_fraction_of_the_steps(podman: tuple[bytes, bytes]) -> None:
    ours, theirs = podman
    everything = numbers(NATIVE).values()
    mean_of_ours = sum(steps_of(ours, NATIVE, number) for number in everything) / len(everything)
    mean_of_theirs = sum(steps_of(theirs, NATIVE, number) for number in everything)
    assert mean_of_ours < 16
    assert mean_of_ours * 4 < mean_of_theirs / len(everything)


# ---------------------------------------------------------------------- the kernel takes it


def test_the_kernel_enforces_what_was_compiled() -> None:
    chosen = policy(
        Rule(names=("getppid",), action=errno_action(errno.EXDEV)),
        Rule(
            names=("getpriority",),
            action=errno_action(errno.EMLINK),
            conditions=(Condition(index=1, comparison=Comparison.GE, value=1 << 33),),
        ),
        default=ALLOW,
        native=NATIVE,
    )
    program = compile_policy(chosen)

    def probe() -> list[int]:
        kernel = Kernel()
        kernel.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
        kernel.seccomp_filter(program)
        libc = ctypes.CDLL(None, use_errno=True)
        results = []
        for call in (
            (numbers(NATIVE)["getppid"],),
            (numbers(NATIVE)["getpriority"], 0, 1 << 33),
            (numbers(NATIVE)["getpriority"], 0, 0),
        ):
            ctypes.set_errno(0)
            libc.syscall(*(ctypes.c_long(value) for value in call))
            results.append(ctypes.get_errno())
        return results

    assert in_child(probe) == [errno.EXDEV, errno.EMLINK, 0]


def test_the_program_is_an_array_of_sock_filter() -> None:
    program = compile_policy(policy(native="aarch64"))
    code, on_true, on_false, k = struct.unpack_from("=HBBI", program)
    assert (code, on_true, on_false, k) == (0x20, 0, 0, 4)  # load seccomp_data.arch
    assert len(program) % 8 == 0
