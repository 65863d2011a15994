"""What all filters have in common: labels, names, booleans, and what a prune verb spares."""

from __future__ import annotations

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.filters import boolean, check, has_label, matches_name, prunable

NOW = 1_700_000_000.0


def test_prunes_go_by_time_and_labels() -> None:
    wanted = prunable({"until": [str(NOW)], "label": ["a"], "label!": ["keep=yes"]})
    assert wanted(NOW - 1, {"a": "1"})
    assert not wanted(NOW + 1, {"a": "1"})
    assert not wanted(NOW - 1, {})
    assert not wanted(NOW - 1, {"a": "1", "keep": "yes"})
    assert wanted(NOW - 1, {"a": "1", "keep": "no"})
    with pytest.raises(InvalidInput, match="more than one until"):
        prunable({"until": ["1h", "2h"]})
    with pytest.raises(InvalidInput, match="failed to parse value as time or duration"):
        prunable({"until": ["soon"]})


def test_a_filter_that_the_verb_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(InvalidInput, match="invalid filter 'colour'") as caught:
        check({"colour": ["red"]}, ["name", "label"])
    assert caught.value.hint == "known: label, name"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", True), ("a=1", True), ("a=2", False), ("b", False), ("empty=", True), ("a=", False)],
)
def test_a_label_is_asked_for_by_key_or_by_key_and_value(text: str, expected: bool) -> None:
    assert has_label({"a": "1", "empty": ""}, text) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("data", True), ("at", True), ("^at", False), ("d.*a$", True), ("(", False)],
)
def test_a_name_is_a_regular_expression_or_the_name_itself(pattern: str, expected: bool) -> None:
    assert matches_name("data", pattern) is expected


def test_a_name_that_is_no_regular_expression_still_names_itself() -> None:
    assert matches_name("a(", "a(")


@pytest.mark.parametrize(("values", "expected"), [([], None), (["1"], True), (["F", "F"], False)])
def test_a_boolean_filter_reads_go_s_words(values: list[str], expected: bool | None) -> None:
    assert boolean({"dangling": values}, "dangling") is expected


@pytest.mark.parametrize("values", [["yes"], ["true", "false"], [""]])
def test_a_boolean_filter_that_is_neither_or_both_is_refused(values: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"invalid filter 'dangling=\["):
        boolean({"dangling": values}, "dangling")
