"""Go's templates: what Go prints for the same text and data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic.commands.container.ps import Containers, check_format
from dockmagic.commands.gotemplate.template import Template
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.wire import container, go, volume

RECORDED = json.loads((Path(__file__).parent / "data" / "go_templates.json").read_text())
OBJECTS = {
    "container": go.decode(container.InspectResponse, RECORDED["objects"]["container"]),
    "volume": go.decode(volume.Volume, RECORDED["objects"]["volume"]),
}
POINTER = re.compile("0xc[0-9a-f]{9}")  # where a value is in memory
DATA: dict[str, Any] = {
    "Name": "/web",
    "State": {"Status": "running", "Pid": 3, "Paused": False, "Load": 1.5},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9999"}], "443/tcp": None},
    "Args": ["a", "b", "c"],
    "Labels": {"a.b": "x", "c": "<&>"},
    "None": None,
    "Empty": [],
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
    ("{{0x10}} {{-3}} {{1.5e3}}", "16 -3 1500"),
    ("{{range 3}}{{.}}{{end}}", "012"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [(t, e) for t, e in GOLDEN if e is not None])
def test_golden(text: str, expected: str) -> None:
    assert Template(text).render(DATA) == expected


def answers(kind: str) -> list[Any]:
    """Of Docker's client, with the template as the name of the case."""
    return [pytest.param(a, id=ascii(a["template"])) for a in RECORDED["answers"][kind]]


def inspected(answer: Any, data: Any, **options: bool) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of an inspect with the template."""
    try:
        template = Template(answer["template"])
    except InvalidInput as error:
        return 64, "", f"{error.message}\n"
    try:
        return 0, f"{template.render(data, **options)}\n", ""
    except InvalidInput as error:
        return 1, "\n", f"template parsing error: {error.message}\n"


def expected(answer: Any) -> tuple[int, str, str]:
    return answer["code"], answer["out"], answer["err"]


@pytest.mark.parametrize("answer", answers("volume"))
def test_template_of_a_typed_value_prints_and_fails_as_go(answer: Any) -> None:
    code, out, err = inspected(answer, OBJECTS["volume"])
    assert (code, POINTER.sub("0x", out), err) == (
        answer["code"], POINTER.sub("0x", answer["out"]), answer["err"],
    )  # fmt: skip


@pytest.mark.parametrize("answer", answers("container"))
def test_template_of_a_container_prints_as_dockers(answer: Any) -> None:
    code, out, err = inspected(answer, OBJECTS["container"])
    if code == 1:  # Docker tries again with what JSON has, and shows the error of this attempt
        raw = RECORDED["objects"]["container"]
        code, out, err = inspected(answer, raw, strict=True)
    assert (code, out, err) == expected(answer)


@pytest.mark.parametrize("answer", answers("row"))
def test_template_of_a_row_prints_and_fails_as_dockers(answer: Any) -> None:
    row = json.loads(RECORDED["answers"]["row"][5]["out"])
    labels = {"a": "b", "c.d": "x"}
    fields = {**row, "Label": lambda name: labels.get(name, "")}
    try:
        check_format(answer["template"])
        text = Containers(items=(), fields=(fields,), format=answer["template"]).text()
        result = (0, f"{text}\n", "")
    except InvalidInput as error:
        result = (1, "", f"{error.message}\n")
    assert result == expected(answer)


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
