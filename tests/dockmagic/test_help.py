"""`--help` says what Docker's client says: `data/docker_help.json` is a recording of version 28."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.help import flag_lines, wrapped
from dockmagic.commands.options.flags import Parser, switch
from dockmagic.commands.verbs import GROUP_DESCRIPTIONS, GROUP_SUMMARIES, aliases, summary_of

RECORDED = json.loads((Path(__file__).parent / "data" / "docker_help.json").read_text())
DOCKERS: dict[str, Any] = RECORDED["definitions"]
FORMS = [form for form in DOCKERS if form not in ("build", "builder prune")]  # those are buildx's


def grammar(form: str) -> Parser:
    line = commands.resolve(form.split())
    return commands.parser(line.verb, form=line.form)


@pytest.mark.parametrize("form", FORMS)
def test_usage_and_summary_are_dockers(form: str) -> None:
    parser = grammar(form)
    assert parser.usage_line == DOCKERS[form]["usage"]
    assert "\n\n".join(filter(None, (parser.summary, parser.also))) == DOCKERS[form]["summary"]


@pytest.mark.parametrize("form", FORMS)
def test_aliases_are_dockers(form: str) -> None:
    names = [f"docker {name}" for name in aliases(commands.resolve(form.split()).verb)]
    assert (names if len(names) > 1 else []) == DOCKERS[form]["aliases"]


@pytest.mark.parametrize("form", FORMS)
def test_flags_are_dockers_with_type_description_and_default(form: str) -> None:
    parser = grammar(form)
    shown = {}
    for name, expected in DOCKERS[form]["flags"].items():
        flag = parser.find(name)
        assert flag, name
        is_ours = flag.is_ours  # of others only the name is shown
        shown[name] = {
            "short": flag.short,
            "type": flag.type,
            "help": flag.help if is_ours else expected["help"],
            "default": flag.default_shown if is_ours else expected["default"],
        }
    assert shown == DOCKERS[form]["flags"]


@pytest.mark.parametrize("form", FORMS)
def test_flags_that_docker_does_not_show_are_marked_as_our_own(form: str) -> None:
    ours = {flag.name for flag in grammar(form).flags if flag.is_shown and not flag.own}
    absent = {flag.name for flag in grammar(form).flags if not flag.is_ours}
    assert ours - absent <= set(DOCKERS[form]["flags"])


@pytest.mark.parametrize("form", RECORDED["as shown"])
def test_the_help_of_a_verb_is_laid_out_as_dockers(form: str) -> None:
    assert commands.verb_help(grammar(form)) + "\n" == RECORDED["as shown"][form]


@pytest.mark.parametrize("verb", [verb.name for verb in commands.VERBS])
def test_the_summary_in_the_list_of_commands_begins_the_verbs_own(verb: str) -> None:
    first = commands.parser(verb).summary.split("\n")[0]
    assert first.rstrip(".") == summary_of(verb).rstrip(".")


@pytest.mark.parametrize("group", commands.GROUPS)
def test_a_groups_help_names_its_verbs(group: str) -> None:
    with pytest.raises(commands.HelpAsked) as caught:
        commands.parse([group, "--help"])
    assert caught.value.text.startswith(f"Usage:  docker {group} COMMAND\n\n")
    assert GROUP_DESCRIPTIONS.get(group, GROUP_SUMMARIES[group]) in caught.value.text
    assert not caught.value.on_stderr
    with pytest.raises(commands.HelpAsked) as caught:
        commands.parse([group])
    assert caught.value.on_stderr


def test_the_help_of_the_program_has_dockers_sections() -> None:
    text = commands.help_text()
    sections = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert sections == [
        "Common Commands:", "Management Commands:", "Commands:", "Commands of dockmagic:",
        "Global Options:",
    ]  # fmt: skip
    assert "  run         Create and run a new container from an image\n" in text
    assert "  -H, --host list          Daemon socket to connect to\n" in text
    assert "swarm" in text.partition("Docker's, not supported yet: ")[2]


def test_help_may_come_first_or_last() -> None:
    texts = []
    for words in (["help", "container", "ls"], ["container", "ls", "--help"]):
        with pytest.raises(commands.HelpAsked) as caught:
            commands.parse(words)
        texts.append(caught.value.text)
    assert texts[0] == texts[1]
    assert texts[0].startswith("Usage:  docker container ls [OPTIONS]\n\nList containers\n")


def test_help_that_is_false_is_none() -> None:
    assert commands.parse(["ps", "--help=false"]).verb == "ps"


def test_run_shows_help_among_its_options_because_h_is_the_host_name() -> None:
    text = commands.verb_help(grammar("run"))
    assert "      --help                             Print usage\n" in text
    assert commands.parse(["run", "-h", "box", "busybox"]).flag("hostname") == "box"


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("short", 80, "short"),
        ("a b c d e f g h i j k l m n o p q", 30, "a b c d e f g h i j\n    k l m n o p q"),
        ("one\ntwo", 80, "one\n    two"),
        ("a b c d e f g h i j k l m n", 27, "\n                a b c d e f g h i j k l m n"),
    ],
)  # fmt: skip
def test_descriptions_are_wrapped_as_pflag_wraps_them(
    text: str, columns: int, expected: str
) -> None:
    assert wrapped(text, 4, columns) == expected


def test_a_deprecated_flag_works_is_not_shown_and_leaves_a_notice() -> None:
    arguments = commands.parse(["stop", "--time", "3", "web"])
    assert arguments.notices == ("Flag --time has been deprecated, use --timeout instead",)
    assert "--time " not in commands.verb_help(grammar("stop"))


def test_options_are_shown_by_name() -> None:
    lines = flag_lines([switch("zeta", "z", "Last"), switch("alpha", "", "First")], 80)
    assert lines == ["      --alpha   First", "  -z, --zeta    Last"]
