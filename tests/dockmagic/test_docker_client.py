"""Docker's own client, where it is installed, asked for what it says without a daemon: its flags
and its templates. The figures of its help are facts that change with its version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic import commands
from dockmagic.commands.gotemplate.template import Template
from dockmagic_runtime.errors import InvalidInput, Unsupported

VERSION = 28  # of the client that we follow


def _client_version() -> int:
    if shutil.which("docker") is None:
        return 0
    said = subprocess.run(["docker", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"version (\d+)\.", said.stdout)
    return int(version[1]) if version else 0


pytestmark = pytest.mark.skipif(
    _client_version() < VERSION, reason=f"optional: Docker's client {VERSION} is not installed"
)

CONTAINERS = (
    "attach commit cp create diff exec export inspect kill logs pause port rename restart rm run "
    "start stats stop top unpause update wait ps events info version"
).split()
GROUPED = [
    *(f"container {verb}" for verb in commands.GROUPS["container"] if verb not in (
        "explain", "list", "ps", "remove",
    )),
    "system df", "system events", "system info", "system prune",
    "volume create", "volume inspect", "volume ls", "volume prune", "volume rm",
]  # fmt: skip
_FLAG = re.compile(r"^ +(?:-(\w), |    )--([a-z0-9-]+)(?: (\S+))?  ", re.MULTILINE)
# of other systems, or said of a daemon's experiments only
HIDDEN = {"run": {"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"}}


class Known(NamedTuple):
    short: str
    takes_value: bool


def docker(*words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home or "/nonexistent")}
    return subprocess.run(
        ["docker", *words], capture_output=True, text=True, check=False, env=environment
    )


def flags_of_docker(verb: str) -> dict[str, Known]:
    text = docker(*verb.split(), "--help").stdout
    flags = {name: Known(short, bool(kind)) for short, name, kind in _FLAG.findall(text)}
    flags.pop("help", None)
    return flags


@pytest.mark.parametrize("verb", [*CONTAINERS, *GROUPED])
def test_every_flag_is_known_under_its_short_name_and_takes_a_value_alike(verb: str) -> None:
    resolved = commands.resolve(verb.split()).verb
    ours = {
        flag.name: Known(flag.short, flag.takes_value) for flag in commands.parser(resolved).flags
    }
    expected = flags_of_docker(verb)
    assert {name: ours.get(name) for name in expected} == expected


@pytest.mark.parametrize("group", ["container", "system", "volume"])
def test_every_command_of_a_group_is_known(group: str) -> None:
    listed = docker(group, "--help").stdout.partition("Commands:\n")[2]
    names = set(re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE))
    assert names
    for name in names:
        try:
            commands.resolve([group, name])
        except Unsupported:
            pass  # known, and it says so


# ------------------------------------------------------------------ templates

_STRINGS = st.sampled_from(
    ['"a"', '"Hello World"', '"ü-ß"', '""', '"a,b,c"', "`raw\\n`", '"x\\ty"', '"<&>\'"', '"12"']
)
_ASCII = st.sampled_from(['"a"', '"Hello World"', '""', '"a,b,c"'])  # cut in bytes, as Go does
_NUMBERS = st.sampled_from(["0", "1", "2", "7", "-1", "0x10", "100"])
_SIMPLE = st.one_of(_STRINGS, _NUMBERS, st.sampled_from(["true", "false", ".Name"]))
_VERBS = st.sampled_from(
    "%s %d %v %q %5s| %-5s| %05d %x %X %t %% %c %o %b %T %+d %U %#x %s-%s".split()
)


def _calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    text = st.sampled_from(["upper", "lower", "title", "len", "json", "not", "html", "js"])
    many = st.sampled_from(["print", "println", "and", "or", "eq", "urlquery"])
    two = st.sampled_from(["ne", "lt", "le", "gt", "ge"])
    several = st.lists(inner, min_size=1, max_size=3).map(" ".join)
    call = st.one_of(
        st.builds("{} {}".format, text, inner),
        st.builds("{} {}".format, many, several),
        st.builds("{} {} {}".format, two, inner, inner),
        st.builds('printf "{}" {}'.format, _VERBS, several),
        st.builds("join (split {} {}) {}".format, _STRINGS, _STRINGS, _STRINGS),
        st.builds("truncate {} {}".format, _ASCII, st.integers(0, 6)),
        st.builds("pad {} {} {}".format, _STRINGS, st.integers(0, 3), st.integers(0, 3)),
        st.builds("slice {} {} {}".format, _ASCII, st.integers(0, 1), st.integers(1, 3)),
        # shown as text at once: the type of a byte is not one of ours
        st.builds("print (index {} {})".format, _ASCII, st.integers(0, 3)),
    )
    return call.map("({})".format)


_EXPRESSIONS = st.recursive(_SIMPLE, _calls, max_leaves=6)
_FORMS = st.sampled_from(
    [
        "{{%s}}", "{{%s | json}}", "{{%s | printf \"%%v\"}}", "{{if %s}}yes{{else}}no{{end}}",
        "{{with %s}}[{{.}}]{{else}}none{{end}}", "x {{- %s -}} y", "{{$x := %s}}{{$x}}{{len $x}}",
        "{{range $i, $e := split %s \",\"}}{{$i}}={{$e}};{{else}}none{{end}}",
    ]
)  # fmt: skip


def _ours(text: str) -> str | None:
    try:
        return Template(text).render({"Name": "default"})
    except InvalidInput:
        return None


@settings(max_examples=80, deadline=None)
@given(st.builds(lambda form, expression: form % expression, _FORMS, _EXPRESSIONS))
def test_a_template_prints_what_dockers_client_prints(text: str) -> None:
    """Of a context, the one thing that the client shows without a question to the daemon."""
    said = docker("context", "inspect", "--format", text, "default")
    expected = said.stdout.removesuffix("\n") if said.returncode == 0 else None
    assert _ours(text) == expected
