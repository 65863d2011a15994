"""Is it documented? Every magic, verb, setting and flag of ours is described where people look."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dockmagic import commands
from dockmagic.magics import _CELL_MAGICS, _LINE_MAGICS
from dockmagic.magics.runner import EXTRA_FLAGS
from dockmagic.magics.settings import DockMagic

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def notebooks() -> str:
    """All that the notebooks say and run."""
    cells = [
        cell
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in json.loads(path.read_text())["cells"]
    ]
    return "\n".join("".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize(
    "magic", [*(f"%{name}" for name in _LINE_MAGICS), *(f"%%{name}" for name in _CELL_MAGICS)]
)
def test_every_magic_is_in_the_readme_or_a_notebook(magic: str) -> None:
    assert re.search(rf"(?<!%){re.escape(magic)}\b", f"{README}\n{notebooks()}")


@pytest.mark.parametrize("verb", sorted(commands.names()))
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert re.search(rf"`{verb}[` ]", README)


def test_the_help_names_every_verb() -> None:
    text = commands.help_text()
    for verb in commands.VERBS:
        if verb.hidden:
            continue
        assert re.search(rf"^  {verb.name} +{re.escape(verb.summary)}$", text, re.MULTILINE)
    for group in commands.GROUPS:
        assert group in text


@pytest.mark.parametrize("verb", [verb.name for verb in commands.VERBS])
def test_every_flag_is_in_its_verbs_help(verb: str) -> None:
    parser = commands.parser(verb, EXTRA_FLAGS)
    text = commands.verb_help(parser)
    for flag in parser.flags:
        if flag.hidden or flag.deprecated:
            continue
        assert re.search(rf"--{flag.name}(?![\w-])", text), flag.name


def test_the_notebooks_own_flags_are_in_the_readme() -> None:
    for flags in EXTRA_FLAGS.values():
        for flag in flags:
            assert f"`--{flag.name}`" in README


def test_every_setting_is_in_the_readme() -> None:
    for name, trait in DockMagic.class_traits(config=True).items():
        assert f"`{name}`" in README
        assert trait.help


def test_the_readme_promises_no_verb_that_is_not_there() -> None:
    section = README.partition("## The commands")[2].partition("Flags, columns")[0]
    known = {verb.name for verb in commands.VERBS} | set(commands.GROUPS)
    listed = set(re.findall(r"`([a-z]+)`", section))
    assert listed <= known


def test_what_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
