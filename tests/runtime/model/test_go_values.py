"""Go's spellings of values."""

from __future__ import annotations

import pytest

from dockmagic_runtime.model.go_values import parse_bool


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true_is_what_strconv_reads_as_true(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_false_is_what_strconv_reads_as_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "yes", "tRUE", " true", "2", "on"])
def test_everything_else_is_refused_in_go_s_words(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax") as caught:
        parse_bool(text)
    assert str(caught.value) == f'strconv.ParseBool: parsing "{text}": invalid syntax'
