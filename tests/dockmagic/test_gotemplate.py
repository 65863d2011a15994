"""Go's templates: what Go prints for the same text and data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic.commands.gotemplate.template import Template
from dockmagic_runtime.errors import InvalidInput

DATA: dict[str, Any] = {
    "Name": "/web",
    "State": {"Status": "running", "Pid": 3, "Paused": False, "Load": 1.5},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9999"}], "443/tcp": None},
    "Args": ["a", "b", "c"],
    "Labels": {"a.b": "x", "c": "<&>"},
    "None": None,
    "Empty": [],
    "Label": lambda key: f"<{key}>",
}

GOLDEN = [
    ("plain text", "plain text"),
    ("{{.Name}}", "/web"),
    ("{{ .State.Status }}", "running"),
    ("{{.State.Paused}} {{.State.Load}} {{.None}}", "false 1.5 <no value>"),
    ("{{.Args}} {{.State}}", "[a b c] map[Load:1.5 Paused:false Pid:3 Status:running]"),
    ("{{json .State}}", '{"Load":1.5,"Paused":false,"Pid":3,"Status":"running"}'),
    ("{{json .Labels}}", '{"a.b":"x","c":"<&>"}'),
    ("{{json .None}} {{json .Empty}}", "null []"),
    ("{{index .Labels \"a.b\"}}", "x"),
    ("{{index .Args 1}}", "b"),
    ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "9999"),
    ("{{range .Args}}[{{.}}]{{end}}", "[a][b][c]"),
    ("{{range $i, $a := .Args}}{{if $i}},{{end}}{{$a}}{{end}}", "a,b,c"),
    ("{{range $p, $b := .Ports}}{{$p}}:{{len $b}} {{end}}", None),
    ("{{range $p, $b := .Ports}}{{$p}}={{if $b}}{{(index $b 0).HostPort}}{{end}};{{end}}", "443/tcp=;80/tcp=9999;"),  # noqa: E501
    ("{{range .Empty}}x{{else}}none{{end}}", "none"),
    ("{{range .Args}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
    ("{{range .Args}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
    ("{{with .State}}{{.Pid}}{{$.Name}}{{end}}", "3/web"),
    ("{{with .None}}x{{else}}y{{end}}", "y"),
    ("{{if .State.Paused}}p{{else if eq .State.Pid 3}}three{{else}}r{{end}}", "three"),
    ("{{if and .Args (not .State.Paused)}}yes{{end}}", "yes"),
    ("{{if or .None .Empty}}yes{{else}}no{{end}}", "no"),
    ("{{and .None .Nope}}", "<no value>"),
    ("{{eq .State.Status \"exited\" \"running\"}}", "true"),
    ("{{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}}", "true true true false false"),
    ("{{len .Args}} {{len \"ü\"}} {{len .Labels}}", "3 2 2"),
    ("{{join .Args \", \"}}", "a, b, c"),
    ("{{join .Args \",\" | upper}}", "A,B,C"),
    ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-/web"),
    ("{{upper \"a\"}}{{lower \"B\"}}{{title \"ab cd\"}}", "AbAb Cd"),
    ("{{truncate .Name 2}}|{{pad \"x\" 1 2}}|", "/w| x  |"),
    ("{{split \"a,b\" \",\"}}", "[a b]"),
    ("{{slice \"abcdef\" 1 3}}", "bc"),
    ("{{printf \"%d %5d|%-5s|%05d|%q|%v|%t|%x|%.2f|%%\" 1 2 \"a\" 3 \"q\" .Args true 255 1.5}}", "1     2|a    |00003|\"q\"|[a b c]|true|ff|1.50|%"),  # noqa: E501
    ("{{printf \"%d\" \"x\"}}", "%!d(string=x)"),
    ("{{printf \"%s\"}}", "%!s(MISSING)"),
    ("{{printf \"a\" 1}}", "a%!(EXTRA int=1)"),
    ("{{println .Name 1}}", "/web 1\n"),
    ("{{print 1 2 \"a\" 3}}", "1 2a3"),
    ("{{html \"<a>\"}} {{urlquery \"a b&\"}}", "&lt;a&gt; a+b%26"),
    ("a {{- .Name -}} b", "a/webb"),
    ("a {{- /* comment */ -}} b", "ab"),
    ("{{/* }} */}}x", "x"),
    ("{{$x := .Name}}{{$x}}{{$x = 2}}{{$x}}", "/web2"),
    ("{{if true}}{{$y := 1}}{{$y}}{{end}}", "1"),
    ("{{`raw \\n`}}{{\"esc\\t\\u00e9\"}}{{'a'}}", "raw \\nesc\té97"),
    ("{{\"}}\"}}", "}}"),
    ("{{.Label \"k\"}}", "<k>"),
    ("{{0x10}} {{-3}} {{1.5e3}}", "16 -3 1500"),
    ("{{range 3}}{{.}}{{end}}", "012"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [(t, e) for t, e in GOLDEN if e is not None])
def test_golden(text: str, expected: str) -> None:
    assert Template(text).render(DATA) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{", "unclosed action"),
        ("{{}}", "missing value for command"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{if .Name}}x", "unexpected EOF"),
        ("{{nope}}", 'function "nope" not defined'),
        ("{{.Nope}}", 'map has no entry for key "Nope"'),
        ("{{.Name.Nope}}", "can't evaluate field Nope"),
        ("{{.None.X}}", "nil pointer evaluating interface {}.X"),
        ("{{index .Args 9}}", "index out of range: 9"),
        ('{{join .Name ","}}', "expected \\[\\]string"),
        ("{{len 3}}", "error calling len"),
        ('{{eq 1 "a"}}', "incompatible types for comparison"),
        ("{{lt .Args 1}}", "invalid type for comparison"),
        ("{{$x}}", 'undefined variable "\\$x"'),
        ("{{break}}", "outside"),
        ("{{(.Name}}", "unclosed left paren"),
        ("{{.Name | }}", "missing value for command"),
        ('{{template "x"}}', 'template "x" not defined'),
        ("{{range .Name}}{{end}}", "can't iterate"),
        ("{{upper 3}}", "expected string; got int"),
        ("{{1 2}}", "non-function"),
        ("{{if}}{{end}}", "missing value for if"),
        ("{{a ? b}}", "unexpected"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Template(text).render(DATA, strict=True)


def test_a_misspelt_field_is_suggested() -> None:
    with pytest.raises(InvalidInput) as caught:
        Template("{{.Stat}}").render(DATA, strict=True)
    assert caught.value.hint == "did you mean .State?"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "{{ }} {{- -}} . .Name .Args $ $x := , | ( ) if else end range with eq index len json "
            '"a" 1 -1 printf "%s %d" break not and x'.split(" ")
        ),
        max_size=12,
    ).map(" ".join)
)
def test_no_template_raises_anything_but_invalid_input(text: str) -> None:
    try:
        Template(text).render(DATA)
    except InvalidInput:
        pass
