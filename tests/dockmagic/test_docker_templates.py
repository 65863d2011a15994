"""Templates on typed values: 200 lines that Docker's client 28.2 has executed, and what it said.

The documents are what a daemon answered; the client decodes them into Go structs, executes the
template on those, and falls back to the document. `docker info` and `version` have no fallback.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dockmagic.commands.gotemplate.template import Template
from dockmagic.commands.options.flags import WrongUsage
from dockmagic.commands.system.inspect import Found, inspect_each
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.wire import go, system

RECORDED = json.loads((Path(__file__).parent / "data" / "docker_templates.json").read_text())
# Left out: Go prints the address of a pointer inside a struct; `json` is the daemon's own text.
LEFT_OUT = ("{{.RegistryConfig}}", "json")
LINES = [line for line in RECORDED["lines"] if line["template"] not in LEFT_OUT]
INSPECTED = [line for line in LINES if line["object"] not in ("info", "version")]
FACTS = [line for line in LINES if line["object"] in ("info", "version")]
TYPES: dict[str, type[go.GoStruct]] = {
    "info": system.DockerInfo,
    "version": system.VersionInfo,
}


def named(line: dict[str, Any]) -> str:
    return f"{line['object']} {line['template']}"


@pytest.mark.parametrize("line", INSPECTED, ids=named)
def test_template_inspect_says_what_docker_says(line: dict[str, Any]) -> None:
    kind, name = line["object"].split()
    document = RECORDED["objects"][line["object"]]
    code, out, err = said(kind, document, name, line["template"])
    assert (out, err, code) == (line["out"], line["err"], line["code"])


def said(kind: str, document: dict[str, Any], name: str, template: str) -> tuple[int, str, str]:
    try:
        result = inspect_each(lambda _: Found(kind, document), [name], template)
    except WrongUsage as error:
        return error.exit_code, "", f"{error.message}\n"
    errors = "".join(f"{error.message}\n" for error in result.errors)
    return result.exit_code, f"{result.text()}\n", errors


@pytest.mark.parametrize("line", FACTS, ids=named)
def test_template_info_and_version_say_what_docker_says(line: dict[str, Any]) -> None:
    kind = line["object"]
    value = go.decode(TYPES[kind], RECORDED["objects"][kind])
    try:
        out, err = Template(line["template"], kind if kind == "version" else "").render(value), ""
    except InvalidInput as error:
        out, err = "", error.message
    assert err == line["err"].rstrip("\n")
    assert err or f"{out}\n" == line["out"]


def test_template_inspect_json_is_one_list() -> None:
    volumes = {"a": Found("volume", {"Name": "a"}), "b": Found("volume", {"Name": "b"})}
    text = inspect_each(volumes.__getitem__, ["a", "b"], "json").text()
    assert [volume["Name"] for volume in json.loads(text)] == ["a", "b"]
    assert text.startswith('[{"Driver":"",')


def test_template_a_missing_attribute_of_an_event_is_no_value() -> None:
    from dockmagic_runtime.wire import event

    message = go.decode(event.Message, {"Actor": {"Attributes": {"name": "web"}}})
    template = Template("{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}")
    assert template.render(message) == "web <no value>"
