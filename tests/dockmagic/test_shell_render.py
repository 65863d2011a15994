"""What a real `sh` is given of a line: values of the notebook, quoted."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic.magics.shell.render import lent, render
from dockmagic.magics.shell.scope import Scope
from dockmagic_runtime.errors import InvalidInput

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@settings(max_examples=60, deadline=None)
@given(TEXT)
def test_a_value_reaches_a_program_of_the_shell_as_it_is(value: str) -> None:
    scope = Scope({"v": value, "w": 1})
    line = 'printf \'%s\\0\' {v} "a{v}b" \'{v}\' "$v" "$w"'
    environment = {**os.environ, **lent(line, scope)}
    shown = subprocess.run(
        ["/bin/sh", "-c", render(line, scope)], env=environment, capture_output=True, check=True
    ).stdout.decode()
    assert shown.split("\0") == [value, f"a{value}b", "{v}", value, "1", ""]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ps --format '{{.ID}}' | cat", "ps --format '{{.ID}}' | cat"),
        ('ps --format "{{.v}} {v}"', 'ps --format "{{.v}} 1"'),
        ("echo ${v} \\{v} {a,b} {}", "echo ${v} {v} {a,b} {}"),
        ('awk "{print \\$1}" | cat', 'awk "{print \\$1}" | cat'),
    ],
)
def test_what_is_no_value_of_the_notebook_stays(line: str, expected: str) -> None:
    assert render(line, Scope({"v": 1})) == expected


def test_only_names_that_the_shell_does_not_set_are_lent() -> None:
    scope = Scope({"i": [], "line": [], "x": 1, "y": {}})
    text = "for i in 1 2; do echo $i; done; read line; echo $line ${x}"
    assert lent(text, scope) == {"x": "1"}
    with pytest.raises(InvalidInput, match="'y' is a dict"):
        lent("echo $y | cat", scope)
