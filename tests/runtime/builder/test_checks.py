"""Build checks: each of Docker's rules where it applies, and silence where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic_runtime.builder import Base
from dockmagic_runtime.builder.plan.plan import make_plan
from dockmagic_runtime.dockerfile import DockerfileError, parse
from dockmagic_runtime.model.build import BuildRequest, BuildStarted
from tests.runtime.builder.conftest import Site

BASE = Base(image_id="sha256:1", config={}, chain_ids=("sha256:2",))
FOREIGN = Base(image_id="sha256:1", config={"os": "linux", "architecture": "s390x"})


def warnings(text: str, base: Base = BASE, **build_args: str) -> list[str]:
    request = BuildRequest(dockerfile=text, context=None, build_args=build_args)
    return list(map(str, make_plan(parse(text), request, {"a": base, "a:1": base}).warnings))


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("FROM a AS Web", "StageNameCasing", 1),
        ("FROM a as web", "FromAsCasing", 1),
        ("FROM a\nRUN x \\\n\n  y", "NoEmptyContinuation", 4),
        ("FROM a\nRUN x\nrun y", "ConsistentInstructionCasing", 3),
        ("FROM a\nRUN x\nRun y", "ConsistentInstructionCasing", 3),
        ("FROM a AS x\nFROM a AS x", "DuplicateStageName", 2),
        ("FROM a AS context", "ReservedStageName", 1),
        ("FROM a\nCMD x", "JSONArgsRecommended", 2),
        ("FROM a\nENTRYPOINT x", "JSONArgsRecommended", 2),
        ("FROM a\nMAINTAINER x", "MaintainerDeprecated", 2),
        ("FROM a$x", "UndefinedArgInFrom", 1),
        ("FROM a\nWORKDIR x", "WorkdirRelativePath", 2),
        ("FROM a\nENV x=$y", "UndefinedVar", 2),
        ('FROM a\nCMD ["x"]\nCMD ["y"]', "MultipleInstructionsDisallowed", 2),
        ("FROM a\nENV x y", "LegacyKeyValueFormat", 2),
        ("FROM --platform=$TARGETPLATFORM a", "RedundantTargetPlatform", 1),
        ("FROM a\nARG PASSWORD", "SecretsUsedInArgOrEnv", 2),
        ("FROM --platform=linux/amd64 a", "FromPlatformFlagConstDisallowed", 1),
        ("FROM a\nEXPOSE 80/TCP", "ExposeProtoCasing", 2),
        ("FROM a\nEXPOSE 127.0.0.1:80:80", "ExposeInvalidFormat", 2),
        ("FROM a\nENV A=1 \\\n  PASSWORD=x", "SecretsUsedInArgOrEnv", 2),
        ("FROM --platform=linux/amd64 a AS mine", "FromPlatformFlagConstDisallowed", 1),
        ("FROM a\nRUN x \\\n# is fine\n\n  y \\\n  z", "NoEmptyContinuation", 6),
        ("# check=experimental=all\nFROM a\n# not so\nARG X=1", "InvalidDefinitionDescription", 4),
        ("# check=experimental=all\n# base\n# is\nFROM a AS b", "InvalidDefinitionDescription", 4),
    ],
)
def test_builder_15_a_rule_has_the_line_of_its_instruction(text: str, rule: str, line: int) -> None:
    (warning,) = warnings(text)
    assert warning.startswith(f"{rule}: ")
    assert warning.endswith(f"(line {line})")


def test_builder_15_stages_that_the_target_does_not_need_are_checked_too() -> None:
    text = "FROM a AS unneeded\nWORKDIR x\nCMD y\nFROM a AS one\nFROM a"

    def found(**fields: Any) -> list[str]:
        request = BuildRequest(dockerfile=text, context=None, **fields)
        plan = make_plan(parse(text), request, {"a": BASE})
        return [warning.rule for warning in plan.warnings]

    assert found(check=True) == ["WorkdirRelativePath", "JSONArgsRecommended"]
    assert found(check=True, target="one") == found() == []


def test_a_default_that_makes_no_name_is_told() -> None:
    (warning,) = warnings("ARG TAG\nFROM a:${TAG}", TAG="1")
    assert warning.startswith("InvalidDefaultArgInFrom: Default value for ARG a:${TAG} results")


def test_a_base_image_of_another_platform_is_told() -> None:
    (warning,) = warnings("FROM a", FOREIGN)
    assert warning.startswith(
        'InvalidBaseImagePlatform: Base image a was pulled with platform "linux'
    )


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS web",
        "ARG DEBUG\nFROM a${DEBUG}",
        "FROM a\nARG foo\nCOPY a.txt${foo} /",
        'FROM a AS b\nSHELL ["x"]\nFROM b\nCMD y\nENTRYPOINT z',
        'FROM a AS b\nSHELL ["x"]\nFROM b AS c\nFROM c\nCMD y',
        "FROM --platform=linux/amd64 a AS my_amd64_stage",
        "FROM --platform=linux/arm64 a AS arm64\nFROM a",
        "FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y",
        "from a as web\nrun x",
        'FROM a\nSHELL ["x"]\nCMD y',
        "FROM a\nWORKDIR /x\nWORKDIR y",
        "ARG TAG=1\nFROM a:$TAG",
        "FROM a${TAG:-}\nENV x=${y:-1} z=${y+1} w=${y-}",
        "FROM --platform=$BUILDPLATFORM a",
        "FROM a\nEXPOSE 80/tcp",
        "FROM a\nARG PUBLIC_KEY",
        "# check=skip=JSONArgsRecommended,UndefinedVar\nFROM a\nENV x=$y\nCMD x",
        "# check=skip=all\nFROM a\nWORKDIR x",
        "# what experimental checks would find\nFROM a AS b",
        "# check=experimental=all\n# b is a stage\nFROM a AS b\n# X says\nARG Y=1 X=2\n#\n\nARG Z",
    ],
)
def test_builder_15_what_is_well_has_no_warning(text: str) -> None:
    assert warnings(text) == []


def test_a_file_may_make_errors_of_them() -> None:
    with pytest.raises(DockerfileError, match="Dockerfile:3: WorkdirRelativePath: "):
        warnings("# check=error=true\nFROM a\nWORKDIR x")


@pytest.mark.root
def test_an_argument_may_take_the_place_of_the_directive(site: Site) -> None:
    text = "# check=error=true\nFROM scratch\nWORKDIR x"
    site.build(text, build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=WorkdirRelativePath"})
    with pytest.raises(DockerfileError, match="WorkdirRelativePath"):
        site.build(text)


def test_names_of_rules_are_written_as_they_are() -> None:
    assert warnings("# check=skip=workdirrelativepath\nFROM a\nWORKDIR x") != []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("skpi=all", r'line 1: invalid check option "skpi" \(did you mean skip\?\)'),
        ("all", 'invalid check option "all"'),
        ("error=maybe", 'failed to parse check option "error=maybe"'),
    ],
)
def test_a_malformed_directive_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason):
        warnings(f"# check={text}\nFROM a")


@pytest.mark.root
def test_a_copy_of_what_is_ignored_is_told(site: Site) -> None:
    site.write("secret")
    site.write("page")
    site.write(".dockerignore", "secret")
    text = (
        "# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY secret page /x/\nADD ./secret /y"
    )
    events = site.events(text, check=True)
    assert isinstance(events[-1], BuildStarted)
    assert [warning.rule for warning in events[-1].warnings] == ["CopyIgnoredFile"] * 2
    assert 'Attempting to Copy file "secret" that is excluded' in events[-1].warnings[0].text
    assert site.images.list(all=True) == ()
