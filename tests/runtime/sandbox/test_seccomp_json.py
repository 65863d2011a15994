"""Profiles in Docker's JSON format."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux import seccomp
from dockmagic_runtime.linux.seccomp import Comparison, Condition, Policy
from dockmagic_runtime.sandbox.seccomp_json import parse_profile

CAPABILITIES = frozenset({"CAP_CHOWN", "CAP_KILL"})


def parse(profile: object, **options: Any) -> Policy:
    return parse_profile(json.dumps(profile), CAPABILITIES, "x86_64", kernel=(6, 1), **options)


def with_rule(**rule: object) -> dict[str, Any]:
    entry = {"names": ["read"], "action": "SCMP_ACT_ALLOW", **rule}
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [entry]}


def test_the_smallest_profile_is_a_default_action() -> None:
    policy = parse({"defaultAction": "SCMP_ACT_ALLOW"})
    assert policy == Policy(default=seccomp.ALLOW, rules=(), architectures=("x86_64",))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCMP_ACT_ALLOW", seccomp.ALLOW),
        ("SCMP_ACT_KILL", seccomp.KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", seccomp.KILL_PROCESS),
        ("SCMP_ACT_KILL_THREAD", seccomp.KILL_THREAD),
        ("SCMP_ACT_LOG", seccomp.LOG),
        ("SCMP_ACT_TRAP", seccomp.TRAP),
        ("SCMP_ACT_TRACE", seccomp.TRACE | 1),
        ("SCMP_ACT_ERRNO", seccomp.errno_action(errno.EPERM)),
    ],
)
def test_every_action_has_its_kernel_value(name: str, value: int) -> None:
    assert parse({"defaultAction": name}).default == value


def test_an_error_number_may_be_chosen_for_the_default_and_for_a_rule() -> None:
    profile = with_rule(action="SCMP_ACT_ERRNO", errnoRet=38) | {"defaultErrnoRet": 13}
    policy = parse(profile)
    assert policy.default == seccomp.errno_action(errno.EACCES)
    assert policy.rules[0].action == seccomp.errno_action(errno.ENOSYS)


def test_the_old_form_with_one_name_is_read() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW", "args": None}],
    }
    assert parse(profile).rules[0].names == ("read",)


@pytest.mark.parametrize("comparison", [kind for kind in Comparison if kind != "MASKED_EQ"])
def test_a_comparison_keeps_its_value(comparison: Comparison) -> None:
    argument = {"index": 2, "value": 7, "valueTwo": 9, "op": f"SCMP_CMP_{comparison.value}"}
    (rule,) = parse(with_rule(args=[argument])).rules
    assert rule.conditions == (Condition(index=2, comparison=comparison, value=7),)


def test_a_masked_comparison_takes_its_mask_from_value() -> None:
    argument = {"index": 0, "value": 0xF0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"}
    (rule,) = parse(with_rule(args=[argument])).rules
    assert rule.conditions == (
        Condition(index=0, comparison=Comparison.MASKED_EQ, mask=0xF0, value=0x10),
    )


def test_conditions_on_different_arguments_must_hold_together() -> None:
    arguments = [{"index": index, "value": 1, "op": "SCMP_CMP_EQ"} for index in (0, 1)]
    (rule,) = parse(with_rule(args=arguments)).rules
    assert len(rule.conditions) == 2


def test_conditions_on_the_same_argument_are_alternatives() -> None:
    arguments = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 2)]
    rules = parse(with_rule(args=arguments)).rules
    assert [rule.conditions[0].value for rule in rules] == [1, 2]


@pytest.mark.parametrize(
    ("filters", "applies"),
    [
        ({"includes": {"caps": ["CAP_KILL"]}}, True),
        ({"includes": {"caps": ["CAP_KILL", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_KILL"]}}, False),
        ({"includes": {"arches": ["arm64", "amd64"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["s390x"]}}, True),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"excludes": {"minKernel": "6.1"}}, False),
        ({"excludes": {"minKernel": "6.2"}}, True),
        ({"includes": {"caps": ["CAP_KILL"]}, "excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {}, "excludes": {}}, True),
        ({"includes": None, "excludes": None}, True),
    ],
)
def test_a_rule_applies_where_its_filters_say(filters: dict[str, Any], applies: bool) -> None:
    assert bool(parse(with_rule(**filters)).rules) is applies


@pytest.mark.parametrize(
    ("declared", "served"),
    [
        ({}, ("x86_64",)),
        ({"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}, ("x86_64", "i386")),
        ({"architectures": ["SCMP_ARCH_AARCH64"]}, ("x86_64",)),
        (
            {
                "archMap": [
                    {
                        "architecture": "SCMP_ARCH_X86_64",
                        "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                    },
                    {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None},
                ]
            },
            ("x86_64", "i386"),
        ),
        ({"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}]}, ("x86_64",)),
    ],
)
def test_the_architectures_are_the_native_one_and_the_relatives_named(
    declared: dict[str, Any], served: tuple[str, ...]
) -> None:
    assert parse({"defaultAction": "SCMP_ACT_ALLOW", **declared}).architectures == served


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ([], "it is not a JSON object"),
        ({}, "defaultAction is not an action: ''"),
        ({"defaultAction": "ALLOW"}, "defaultAction is not an action: 'ALLOW'"),
        ({"defaultAction": 3}, "defaultAction is not of the right kind: 3"),
        (with_rule(action="SCMP_ACT_NOTIFY"), "SCMP_ACT_NOTIFY is not supported"),
        (with_rule(names=[]), "names no call"),
        (with_rule(name="read"), "use either 'name' or 'names'"),
        (with_rule(names=[1]), "names has an entry that does not fit: 1"),
        (with_rule(args=[{"index": 6, "op": "SCMP_CMP_EQ"}]), "a call has no argument 6"),
        (with_rule(args=[{"index": True, "op": "SCMP_CMP_EQ"}]), "index is not of the right kind"),
        (with_rule(args=[{"index": 0, "op": "EQ"}]), "op is not a comparison: 'EQ'"),
        (with_rule(args=[{"value": 2**64, "op": "SCMP_CMP_EQ"}]), "do not fit into 64 bits"),
        (with_rule(action="SCMP_ACT_ERRNO", errnoRet=-1), "errnoRet -1 is not an error number"),
        (with_rule(includes={"minKernel": "new"}), 'invalid kernel version: "new"'),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86"],
                "archMap": [{"architecture": "SCMP_ARCH_X86_64"}],
            },
            "use either 'architectures' or 'archMap'",
        ),
    ],
)
def test_a_mistake_is_named(profile: object, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(profile)
    assert message in caught.value.message


def test_text_that_is_not_json_is_said_to_be_that() -> None:
    with pytest.raises(InvalidInput, match="Decoding seccomp profile failed"):
        parse_profile("{", CAPABILITIES, "x86_64")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["names", "name", "action", "args", "index", "value", "op", "includes", "caps"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(json_values, max_size=3))
def test_whatever_stands_in_a_profile_the_answer_is_a_policy_or_a_sentence(
    entries: list[Any],
) -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": entries}
    try:
        policy = parse(profile)
    except InvalidInput as error:
        assert error.message  # noqa: PT017 - either outcome is right
    else:
        assert seccomp.compile_policy(policy)
