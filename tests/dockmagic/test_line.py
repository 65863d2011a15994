"""The words of a magic's line: those of a real `sh`, and values of the notebook."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic.magics.line import split_line
from dockmagic.magics.shell import script
from dockmagic.magics.shell.host import is_complete
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
        ('sh -c "echo $img ${nope:-y z} $1."', ["sh", "-c", "echo httpd y z ."]),
        ("sh -c 'echo {img}' \"{img}\"", ["sh", "-c", "echo {img}", "httpd"]),
        ("curl -w '%{http_code}' x", ["curl", "-w", "%{http_code}", "x"]),
        ('i -f "{{index .A \\"$img\\"}} {{$v}}"', ["i", "-f", '{{index .A "httpd"}} {{$v}}']),
        ("awk '{print $1}' x", ["awk", "{print $1}", "x"]),
        ("find . -exec ls {} \\;", ["find", ".", "-exec", "ls", "{}", ";"]),
        ("mkdir {a,b} {1..3}", ["mkdir", "{a,b}", "{1..3}"]),
        ("x '{\"a\": 1}'", ["x", '{"a": 1}']),
        ('x \\{img} "\\{img}"', ["x", "{img}", "{img}"]),
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
        ("a x{names}", "'names' is a list: only text and numbers"),
        ("a $names", "'names' is a list: only text and numbers"),
        ("a {d}", "'d' is a dict: only text and numbers"),
        ("a ${img.x}", "bad substitution"),
        ("a ${nope:?set it}", "nope: set it"),
        ("a $(docker ps", "not closed"),
        ("a; b", "one command on a line"),
    ],
)
def test_what_cannot_be_says_why(line: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        words(line)


def test_a_value_is_never_split_or_expanded_again() -> None:
    evil = "$(docker rm -f x) ; {img} 'q * "
    assert split_line('run {v} "{v}" $v', {"v": evil}) == ["run", evil, evil, evil]


def test_notebook_f7_a_variable_of_the_environment_is_expanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOK", "s e*cret")
    assert split_line("run -e \"T=$TOK\" -e 'T=$TOK' x") == [
        "run", "-e", "T=s e*cret", "-e", "T=$TOK", "x",
    ]  # fmt: skip
    assert split_line("run $TOK") == ["run", "s", "e*cret"]


def test_notebook_b14_an_object_is_not_put_into_a_line() -> None:
    class Table:
        name = "images"

    with pytest.raises(InvalidInput, match="'i' is a Table: only text and numbers") as error:
        split_line('sh -c "for i in 1; do echo $i; done"', {"i": Table()})
    assert error.value.hint == "write {i.name}"


def test_file_names_are_matched_where_no_quotes_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", ".hidden.txt"):
        (tmp_path / name).touch()
    assert split_line("x *.txt '*.txt' \"*.txt\" \\*.txt *.py {p} $p", {"p": "*.txt"}) == [
        "x", "a.txt", "b.txt", "*.txt", "*.txt", "*.txt", "*.py", "*.txt", "*.txt",
    ]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
def test_any_text_that_is_quoted_arrives_whole(texts: list[str]) -> None:
    assert split_line(shlex.join(["x", *texts]), NAMES) == ["x", *texts]


def as_in_sh(line: str, folder: Path) -> list[str] | None:
    """The words that a real shell makes of a line; None for one that it finds fault with."""
    ran = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\0' {line}"],
        cwd=folder, env={"A": "1 2", "B": "", "C": "x*", "HOME": "/home/me"},
        capture_output=True, check=False,
    )  # fmt: skip
    return ran.stdout.decode().split("\0")[:-1] if ran.returncode == 0 and not ran.stderr else None


PIECES = st.sampled_from(
    ["$A", "${A}", "$B", "$C", "$N", "'", '"', "\\", " ", "a", "b c", "*", "?.t", "~", "/", "{}",
     "${B:-d e}", "${N-d}", "${A:+p q}", "${C%\\*}", "${A##* }", "${#A}", "$?", "$", "$1", "=", "#",
     "$(echo 1  2)", "`echo x`", "$((1+2))", "%", "-", '"$A"', "'$A'", "\\$A", '"$(echo "q r")"'],
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=7).map("".join).filter(lambda line: "$$" not in line))
def test_words_are_those_of_a_real_shell(line: str) -> None:
    folder = Path(__file__).parent / "data"
    expected = as_in_sh(f"x {line}", folder)
    if expected is None:
        return
    environment = {"A": "1 2", "B": "", "C": "x*", "HOME": "/home/me"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("N", "USER"):
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        assert split_line(f"x {line}", {}, output) == expected


def output(command: str) -> str:
    return subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, check=True
    ).stdout.decode()


def parsed(text: str) -> list[tuple[str, str, bool]]:
    commands = script.commands(text, is_complete)
    return [(command.joint, command.text, command.is_simple) for command in commands]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# c\n\nrun \\\n  -d x\n   ps  \n", [("", "run    -d x", True), ("", "ps", True)]),
        ("$ run \\\n> -d x\n$ ps", [("", "run  -d x", True), ("", "ps", True)]),
        ("a && b || c; d", [
            ("", "a", True), ("&&", "b", True), ("||", "c", True), (";", "d", True)]),
        ("a &&\n  b\nc;\nd", [
            ("", "a", True), ("&&", "b", True), ("", "c", True), ("", "d", True)]),
        ("a 'x\ny' b", [("", "a 'x\ny' b", True)]),
        ("a | b && c > f 2>&1", [("", "a | b", False), ("&&", "c > f 2>&1", False)]),
        ("a |\n  b", [("", "a |\n  b", False)]),
        ("for i in 1 2; do\n echo $i\ndone\nps", [
            ("", "for i in 1 2; do\n echo $i\ndone", False), ("", "ps", True)]),
        ("a | while read x; do\n b $x; done\nps", [
            ("", "a | while read x; do\n b $x; done", False), ("", "ps", True)]),
        ("(cd x; ls)\nps", [("", "(cd x; ls)", False), ("", "ps", True)]),
        ("f() {\n ls\n}; f\nps", [("", "f() {\n ls\n}; f", False), ("", "ps", True)]),
        ("a 2>x", [("", "a 2>x", False)]),
        ("a '2>x' \">\" \\>", [("", "a '2>x' \">\" \\>", True)]),
    ],
)  # fmt: skip
def test_a_cell_is_cut_into_commands(text: str, expected: list[tuple[str, str, bool]]) -> None:
    assert parsed(text) == expected


def test_a_here_document_belongs_to_its_command() -> None:
    text = "cat > f <<EOF && ps; ls\nFROM x\nEOF\nps"
    assert parsed(text) == [("", "cat > f <<EOF && ps; ls", False), ("", "ps", True)]
    with pytest.raises(InvalidInput, match="<<EOF"):
        parsed("cat <<EOF")
    text = "cat > f <<'EOF'\nFROM {x}\n  EOF\nEOF\nps"
    first, second = script.commands(text, is_complete)
    assert (first.text, first.here) == ("cat > f <<'EOF'", "FROM {x}\n  EOF\nEOF\n")
    assert second.text == "ps"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab {}$()'\"\\;&|<>#~.\n1", max_size=30))
def test_no_line_raises_anything_but_our_errors(line: str) -> None:
    try:
        split_line(line, {"a": "1", "b": ["2"]}, lambda command: command)
    except DockmagicError:
        pass
