"""Shell words: quotes, escapes and every form of `$variable`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.dockerfile.expand import (
    LIMIT,
    ExpansionError,
    check,
    expand,
    expand_document,
    expand_fields,
    unquote,
)
from dockmagic_runtime.dockerfile.instructions import Pair
from dockmagic_runtime.dockerfile.parse import parse

VALUES = {
    "name": "value",
    "empty": "",
    "file": "archive.tar.gz",
    "path": "/usr/local/bin",
    "fields": "one two",
    "café": "au lait",
}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("plain", "plain"),
        ("$name", "value"),
        ("${name}", "value"),
        ("x${name}y", "xvaluey"),
        ("$nothing", ""),
        ("$name.$name", "value.value"),
        ("$name_", ""),
        ("$café", "au lait"),
        ("$1x", "x"),
        ("$.", "$."),
        ("a$", "a$"),
        # quotes and escapes
        ("'$name'", "$name"),
        ('"$name"', "value"),
        ("\"'$name'\"", "'value'"),
        ("'a b'", "a b"),
        (r"\$name", "$name"),
        (r"\\$name", r"\value"),
        (r"a\ b", "a b"),
        (r"\a\b", "ab"),
        (r'"\a\"\$\\"', r"\a" + '"$' + "\\"),
        (r"'\a'", r"\a"),
        ("tail\\", "tail"),
        ('"tail\\\\"', "tail\\"),
        # unset, empty, set
        ("${nothing:-word}", "word"),
        ("${nothing-word}", "word"),
        ("${empty:-word}", "word"),
        ("${empty-word}", ""),
        ("${name:-word}", "value"),
        ("${nothing:+word}", ""),
        ("${empty:+word}", ""),
        ("${empty+word}", "word"),
        ("${name:+word}", "word"),
        ("${name:?gone}", "value"),
        ("${empty?gone}", ""),
        ("${nothing:-$name}", "value"),
        ("${nothing:-${empty:-${name}}}", "value"),
        ("${nothing:-'}'}", "}"),
        (r"${nothing:-\}}", "}"),
        ("${nothing:-a b}", "a b"),
        ("${name:+${name}:}$name", "value:value"),
        # patterns
        ("${file#*.}", "tar.gz"),
        ("${file##*.}", "gz"),
        ("${file%.*}", "archive.tar"),
        ("${file%%.*}", "archive"),
        ("${path#/*/}", "local/bin"),
        ("${path##/*/}", "bin"),
        ("${file#nothing}", "archive.tar.gz"),
        ("${file%?}", "archive.tar.g"),
        ("${file#????}", "ive.tar.gz"),
        ("${nothing#x}", ""),
        (r"${name#\*}", "value"),
        # replacement
        ("${file/a/A}", "Archive.tar.gz"),
        ("${file//a/A}", "Archive.tAr.gz"),
        ("${file//./}", "archivetargz"),
        ("${file/t*z/X}", "archive.X"),
        (r"${path//\//:}", ":usr:local:bin"),
        ("${path/$nothing/x}", "x/usr/local/bin"),
        ("${file/r?/$name}", "avaluehive.tar.gz"),
        ("${name//*/x}", "x"),
        ("${empty//x/y}", ""),
    ],
)
def test_a_word_expands(word: str, result: str) -> None:
    assert expand(word, VALUES) == result
    check(word)


@pytest.mark.parametrize(
    ("word", "offset", "message"),
    [
        ("a'b", 1, "matching single-quote"),
        ('"b', 0, "matching double-quote"),
        ("x${", 1, "missing '}'"),
        ("${name", 0, "missing '}'"),
        ("${}", 0, "bad substitution"),
        ("${{x}", 0, "bad substitution"),
        ("${:x}", 0, "bad substitution"),
        ("${name:=x}", 0, r"unsupported modifier \(:=\)"),
        ("${name!x}", 0, r"unsupported modifier \(!\)"),
        ("${.}", 0, "unsupported modifier"),
        ("${name/x}", 9, "missing '/'"),
        ("${name:-x", 9, "missing '}'"),
        (r"${name#\q}", 0, "invalid escape"),
        ("${a:-" * 40, 160, "nested too deeply"),
    ],
)
def test_a_malformed_word_is_refused_where_it_is_wrong(
    word: str, offset: int, message: str
) -> None:
    for function in (check, lambda text: expand(text, VALUES)):
        with pytest.raises(ExpansionError, match=message) as failure:
            function(word)
        assert failure.value.offset == offset


def test_a_demanded_variable_that_is_missing_is_told() -> None:
    with pytest.raises(ExpansionError, match="nothing: must be given"):
        expand("${nothing:?must be given}", VALUES)
    with pytest.raises(ExpansionError, match="empty: is not allowed to be empty"):
        expand("${empty:?}", VALUES)
    with pytest.raises(ExpansionError, match="nothing: is not allowed to be unset"):
        expand("${nothing?}", VALUES)
    check("${nothing:?}")


def test_the_other_escape_character() -> None:
    assert expand(r"c:\dir`$name`` \$name", VALUES, "`") == r"c:\dir$name` \value"
    assert expand('"`"`$`x"', VALUES, "`") == '"$`x'


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("$fields", ["one", "two"]),
        ('"$fields"', ["one two"]),
        ("$empty", []),
        ("a$fields-$fields", ["aone", "two-one", "two"]),
        ("a 'b c' d", ["a", "b c", "d"]),
        (r"a\ b", ["a b"]),
    ],
)
def test_fields_are_cut_at_blanks_outside_of_quotes(text: str, fields: list[str]) -> None:
    assert expand_fields(text, VALUES) == fields


def test_in_a_document_quotes_are_text() -> None:
    assert expand_document('it\'s "$name"\n\\$name\n', VALUES) == 'it\'s "value"\n$name\n'


def test_unquote_leaves_dollars_alone() -> None:
    assert unquote("'a b'$name\"c\"\\ ") == "a b$namec "


def test_a_word_cannot_grow_without_bound() -> None:
    value = "x" * (LIMIT // 2 + 1)
    with pytest.raises(ExpansionError, match="more than"):
        expand("$a$a", {"a": value})
    with pytest.raises(ExpansionError, match="more than"):
        expand_fields("$a$a", {"a": value})
    with pytest.raises(ExpansionError, match="more than"):
        expand("${a//x/yy}", {"a": value})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab$'\"\\{}:-+?#%/* `1", max_size=24), st.sampled_from(["\\", "`"]))
def test_no_word_raises_anything_else(word: str, escape: str) -> None:
    offsets = []
    for function in (expand, expand_fields, expand_document):
        try:
            function(word, {"a": "abba", "b": ""}, escape)
        except ExpansionError as error:
            offsets.append(error.offset)
    assert all(0 <= offset <= len(word) + 1 for offset in offsets)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab$'\"\\{}:-+#%/* 1", max_size=24))
def test_what_check_accepts_expands_unless_a_value_is_demanded(word: str) -> None:
    try:
        check(word)
    except ExpansionError:
        return
    expand(word, {"a": "abba"})


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"])))
def test_a_single_quoted_text_is_itself(text: str) -> None:
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert expand(quoted, {}) == text
    (stage,) = parse(f"FROM a\nENV x={quoted}").stages
    assert stage.instructions[0] == parse(f"FROM a\nENV  x={quoted}").stages[0].instructions[0]
    assert stage.instructions[0].pairs == (Pair("x", quoted),)  # type: ignore[attr-defined]


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="ab", max_size=12),
    st.text(alphabet="ab*?", max_size=6),
    st.sampled_from(["#", "##", "%", "%%"]),
)
def test_trimming_is_the_shells(value: str, pattern: str, operator: str) -> None:
    """Against all prefixes or suffixes that Python's own matcher accepts."""
    from fnmatch import fnmatchcase

    if pattern.startswith(("#", "%")):
        return
    cuts = range(len(value) + 1)
    if operator[0] == "#":
        fits = [cut for cut in cuts if fnmatchcase(value[:cut], pattern)]
        rest = [value[cut:] for cut in fits]
    else:
        fits = [cut for cut in reversed(cuts) if fnmatchcase(value[cut:], pattern)]
        rest = [value[:cut] for cut in fits]
    expected = rest[-1 if len(operator) == 2 else 0] if rest else value
    assert expand(f"${{v{operator}{pattern}}}", {"v": value}) == expected
