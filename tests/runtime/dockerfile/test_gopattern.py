"""filepath.Match and .dockerignore patterns."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.dockerfile.gopattern import BadPattern, has_wildcards, match
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "ab/c", False),
        ("a*/b", "abc/b", True),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        (r"[\]a]", "]", True),
        (r"[\-x]", "-", True),
        ("[x-a]", "x", False),
        ("[&&||~~]", "~", True),
        ("é?", "éa", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_match_is_gos(pattern: str, name: str, matches: bool) -> None:
    assert match(pattern, name) is matches


@pytest.mark.parametrize("pattern", ["[", "[a", "[]a]", "[-x]", "[x-]", "[a-b-c]", "a\\", "[^"])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern, match="syntax error in pattern"):
        match(pattern, "a")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_without_slashes_and_brackets_it_is_what_a_shell_does(pattern: str, name: str) -> None:
    from fnmatch import fnmatchcase

    assert match(pattern, name) == fnmatchcase(name, pattern)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_no_pattern_raises_anything_else(pattern: str, name: str) -> None:
    try:
        match(pattern, name)
        IgnoreRules.of([pattern]).excludes(name)
    except InvalidInput:
        pass


def test_many_stars_are_no_trap() -> None:
    assert not match("*a" * 40 + "b", "a" * 400)


def test_wildcards_are_recognised() -> None:
    assert [has_wildcards(text) for text in ("a*", "a?", "[a]", "\\a", "a/b.c")] == [
        True,
        True,
        True,
        True,
        False,
    ]


def excluded(text: str, *paths: str) -> list[str]:
    rules = IgnoreRules.parse(text)
    return [path for path in paths if rules.excludes(path)]


@pytest.mark.parametrize(
    ("text", "gone", "kept"),
    [
        ("a", ["a", "a/b", "a/b/c"], ["b", "ab", "b/a"]),
        ("/a", ["a"], ["b/a"]),
        ("a/", ["a", "a/b"], []),
        ("./a/../b", ["b"], ["a"]),
        ("*.log", ["x.log"], ["d/x.log"]),
        ("*/*.log", ["d/x.log"], ["x.log", "d/e/x.log"]),
        ("**/*.log", ["x.log", "d/x.log", "d/e/x.log"], ["x.logs"]),
        ("**", ["a", "a/b"], []),
        ("d/**", ["d/a", "d/a/b"], ["d", "e"]),
        ("**/d/**/x", ["d/x", "a/d/b/c/x"], ["x", "d/y"]),
        ("**/d", ["d", "a/d", "a/d/e"], ["ad"]),
        ("a**b", ["ab", "ax/b"], ["axb"]),
        ("# comment\n\n  a  \n", ["a"], ["# comment"]),
        ("*\n!keep", ["a"], ["keep", "keep/b"]),
        ("!a\na", ["a"], []),
        ("d\n!d/keep\nd/keep/no", ["d", "d/x", "d/keep/no"], ["d/keep"]),
        ("\ufeffa", ["a"], []),
        (".", [], ["a"]),
    ],
)
def test_ignore_rules(text: str, gone: list[str], kept: list[str]) -> None:
    assert excluded(text, *gone) == gone
    assert excluded(text, *kept) == []


def test_only_rules_without_exceptions_prune() -> None:
    assert IgnoreRules.parse("d").prunes("d")
    assert not IgnoreRules.parse("d\n!d/x").prunes("d")
    assert not IgnoreRules.parse("")


def test_an_empty_exception_is_refused() -> None:
    with pytest.raises(InvalidInput, match="illegal exclusion pattern"):
        IgnoreRules.parse("!")
