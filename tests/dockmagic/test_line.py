"""The words of a magic's line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic.magics.line import Command, logical_lines, split_commands, split_line
from dockmagic_runtime.errors import DockmagicError, InvalidInput

NAMES = {"img": "httpd", "names": ["a", "b c"], "port": 9999, "d": {"x": 1}, "text": "two words"}


def words(line: str) -> list[str]:
    return split_line(line, NAMES, lambda command: f"<{command}>\nid2\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run -d  httpd", ["run", "-d", "httpd"]),
        ("run -p {port}:80 {img}", ["run", "-p", "9999:80", "httpd"]),
        ("run $img ${img}:alpine", ["run", "httpd", "httpd:alpine"]),
        ("rm {names}", ["rm", "a", "b c"]),
        ("rm x{names}", ["rm", "x['a', 'b c']"]),
        ("echo {text}", ["echo", "two words"]),
        ("x {d['x']} {d[\"x\"]} {port + 1} {str(port)[:2]}", ["x", "1", "1", "10000", "99"]),
        ("ps --format '{{.Names}}: {{.ID}}'", ["ps", "--format", "{{.Names}}: {{.ID}}"]),
        ("ps --format {{.img}}", ["ps", "--format", "{{.img}}"]),
        (
            "i -f '{{range $img, $v := .A}}{{$img}}{{end}}'",
            ["i", "-f", "{{range $img, $v := .A}}{{$img}}{{end}}"],
        ),
        ("i -f '{{.A}}' {img}", ["i", "-f", "{{.A}}", "httpd"]),
        ("sh -c 'echo $img ${img} $HOME'", ["sh", "-c", "echo $img ${img} $HOME"]),
        ('sh -c "echo $img $HOME ${x:-y} $1 $$"', ["sh", "-c", "echo httpd $HOME ${x:-y} $1 $$"]),
        ("sh -c 'echo {img}'", ["sh", "-c", "echo httpd"]),
        ("awk '{print $1}' x", ["awk", "{print $1}", "x"]),
        ("find . -exec ls {} \\;", ["find", ".", "-exec", "ls", "{}", ";"]),
        ("mkdir {a,b} {1..3}", ["mkdir", "{a,b}", "{1..3}"]),
        ("x '{\"a\": 1}'", ["x", '{"a": 1}']),
        ("x \\{img} '\\{img}'", ["x", "{img}", "{img}"]),
        ("x '' \"\"", ["x", "", ""]),
        ("x \"a b\"c'd e'f", ["x", "a bcd ef"]),
        ('x "a\\"b\\$img" a\\ b', ["x", 'a"b$img', "a b"]),
        ("x a#b # comment", ["x", "a#b"]),
        ("stop $(docker ps -a -q)", ["stop", "<docker", "ps", "-a", "-q>", "id2"]),
        ('x "$(docker ps)"', ["x", "<docker ps>\nid2"]),
        ("x '$(docker ps)'", ["x", "$(docker ps)"]),
        ("", []),
    ],
)
def test_words(line: str, expected: list[str]) -> None:
    assert words(line) == expected


def test_folder_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line_words = words('-v $PWD:/x -v "$(pwd)":/y ~/z a~')
    assert line_words == [
        "-v", f"{tmp_path}:/x", "-v", f"{tmp_path}:/y", os.path.expanduser("~/z"), "a~",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a | b", "a pipe"),
        ("a > b", "a redirection"),
        ("a &", "a background job"),
        ("a 'b", "single quote"),
        ('a "b', "double quote"),
        ("a {nope}", "no variable 'nope'"),
        ("a {nope.x}", "no variable 'nope'"),
        ("a {img.nope}", "AttributeError"),
        ("a $(docker ps", "not closed"),
        ("a; b", "one command on a line"),
    ],
)
def test_what_cannot_be_says_why(line: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        words(line)


def test_a_value_is_never_split_or_expanded_again() -> None:
    evil = "$(docker rm -f x) ; {img} 'q"
    assert split_line('run {v} "{v}" $v', {"v": evil}) == ["run", evil, evil, evil]


def test_commands_are_read_one_by_one() -> None:
    seen: list[str] = []

    def substitute(command: str) -> str:
        seen.append(command)
        return "id"

    parts = split_commands("stop $(one) && rm $(two); ps", {}, substitute)
    assert next(parts) == Command("stop $(one)", ["stop", "id"])
    assert seen == ["one"]
    assert list(parts) == [Command("rm $(two)", ["rm", "id"]), Command("ps", ["ps"])]


def test_lines_of_a_cell() -> None:
    assert logical_lines("# c\n\nrun \\\n  -d x\n   ps  \n") == ["run    -d x", "ps"]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab {}$()'\"\\;&|<>#~.\n1", max_size=30))
def test_no_line_raises_anything_but_our_errors(line: str) -> None:
    try:
        for command in split_commands(line, {"a": "1", "b": ["2"]}, lambda c: c):
            assert command.words
    except DockmagicError:
        pass
