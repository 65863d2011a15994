"""The words of `--security-opt`, as Docker's daemon takes and refuses them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.plan.security_options import no_new_privileges, seccomp_choice
from dockmagic_runtime.errors import InvalidInput


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), False),
        (("no-new-privileges",), True),
        (("no-new-privileges=true",), True),
        (("no-new-privileges:true",), True),
        (("no-new-privileges=1",), True),
        (("no-new-privileges=false",), False),
        (("no-new-privileges:F",), False),
        (("no-new-privileges", "no-new-privileges=false"), False),
        (("label=disable", "seccomp=unconfined", "no-new-privileges"), True),
        (("disable",), False),
    ],
)
def test_new_privileges_are_denied_in_all_of_dockers_spellings(
    options: tuple[str, ...], expected: bool
) -> None:
    assert no_new_privileges(options) is expected


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("no-new-privileges=yes", 'invalid --security-opt 2: "no-new-privileges=yes"'),
        ("no-new-privileges=", 'invalid --security-opt 2: "no-new-privileges="'),
        ("seccomp", 'invalid --security-opt 1: "seccomp"'),
        ("nonsense=1", 'invalid --security-opt 2: "nonsense=1"'),
    ],
)
def test_what_is_no_option_is_refused_in_dockers_words(option: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        no_new_privileges((option,))
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "default"),
        (("seccomp=unconfined",), "unconfined"),
        (("seccomp:unconfined",), "unconfined"),
        (("seccomp=builtin",), "default"),
        (('seccomp={"a":1}',), '{"a":1}'),
        (("seccomp=unconfined", "seccomp=builtin"), "default"),
    ],
)
def test_the_filter_is_the_last_that_was_named(options: tuple[str, ...], expected: str) -> None:
    assert seccomp_choice(options) == expected


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="aol=:nweprivsgconf-", max_size=30))
def test_an_option_is_understood_or_refused_and_never_half(option: str) -> None:
    try:
        denied = no_new_privileges((option,))
    except InvalidInput:
        return
    key = option.replace(":", "=").partition("=")[0]
    assert key in ("seccomp", "no-new-privileges", "label", "apparmor", "systempaths", "disable")
    assert not denied or key == "no-new-privileges"
