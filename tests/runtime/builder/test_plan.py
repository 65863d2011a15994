"""The plan: pure, so nothing here needs root, a disk or a network."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic_runtime.builder import Base, Plan, needed_images
from dockmagic_runtime.builder.plan.chmod import Mode
from dockmagic_runtime.builder.plan.plan import make_plan
from dockmagic_runtime.builder.plan.stages import host_platform
from dockmagic_runtime.builder.plan.steps import RunStep, Step, TransferStep, WorkdirStep
from dockmagic_runtime.dockerfile import DockerfileError, parse
from dockmagic_runtime.errors import EngineBug, InvalidInput, Unsupported
from dockmagic_runtime.model.build import BuildRequest

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base(**config: Any) -> Base:
    return Base(image_id="sha256:" + "1" * 64, config={"config": config}, chain_ids=("c1",))


def planned(text: str, bases: dict[str, Base] | None = None, **request: Any) -> Plan:
    asked = BuildRequest(dockerfile=text, context="/context", **request)
    return make_plan(parse(text), asked, bases or {"a": base()})


def last(text: str, bases: dict[str, Base] | None = None, **request: Any) -> Step:
    return planned(text, bases, **request).steps[-1]


def config(text: str, bases: dict[str, Base] | None = None, **request: Any) -> dict[str, Any]:
    return last(text, bases, **request).config.json


def run(text: str, bases: dict[str, Base] | None = None, **request: Any) -> RunStep:
    step = last(text, bases, **request)
    assert isinstance(step, RunStep)
    return step


def transfer(text: str, **request: Any) -> TransferStep:
    step = last(text, **request)
    assert isinstance(step, TransferStep)
    return step


def refused(text: str, **request: Any) -> str:
    with pytest.raises(DockerfileError) as failure:
        planned(text, **request)
    (problem,) = failure.value.problems
    return f"{problem.line}: {problem.reason}"


# --- the config --------------------------------------------------------------------------------


def test_scratch_begins_as_with_docker() -> None:
    assert config("FROM scratch") == {"Env": [DEFAULT_PATH], "WorkingDir": "/"}


def test_fields_of_the_base_that_nobody_knows_survive() -> None:
    kept = config("FROM a\nLABEL x=1", {"a": base(Unknown={"deep": [1]}, Labels={"y": "2"})})
    assert kept == {
        "Unknown": {"deep": [1]}, "Labels": {"y": "2", "x": "1"}, "Env": [DEFAULT_PATH],
    }  # fmt: skip


def test_env_overrides_in_place_and_appends() -> None:
    config_ = config("FROM a\nENV B=2 A=3 C=4", {"a": base(Env=["A=1", "PATH=/b", "B=1"])})
    assert config_["Env"] == ["A=3", "PATH=/b", "B=2", "C=4"]


def test_a_base_without_path_gets_the_usual_one_in_its_config() -> None:
    assert config("FROM a\nENV B=2", {"a": base(Env=["A=1"])})["Env"] == [
        "A=1", DEFAULT_PATH, "B=2",
    ]  # fmt: skip


def test_a_value_is_that_of_before_the_instruction() -> None:
    assert config("FROM a\nENV a=1\nENV a=2 b=$a")["Env"] == [DEFAULT_PATH, "a=2", "b=1"]


def test_expose_volume_and_the_single_values() -> None:
    config_ = config(
        'FROM a\nENV P="81 82/udp"\nEXPOSE 80 $P\nEXPOSE 80/TCP\nVOLUME /a\nVOLUME ["/d e"]\n'
        "USER me\nUSER $P\nSTOPSIGNAL SIGQUIT\n"
    )
    assert config_["ExposedPorts"] == {"80/tcp": {}, "81/tcp": {}, "82/udp": {}}
    assert config_["Volumes"] == {"/a": {}, "/d e": {}}
    assert (config_["User"], config_["StopSignal"]) == ("81 82/udp", "SIGQUIT")


def test_cmd_and_entrypoint_forms() -> None:
    assert config("FROM a\nCMD x $y")["Cmd"] == ["/bin/sh", "-c", "x $y"]
    assert config('FROM a\nCMD ["x", "$y"]')["Cmd"] == ["x", "$y"]
    assert config('FROM a\nSHELL ["/b", "-e"]\nCMD x')["Cmd"] == ["/b", "-e", "x"]
    assert config("FROM a\nCMD []", {"a": base(Cmd=["x"])})["Cmd"] is None


def test_an_entrypoint_clears_the_inherited_cmd_and_not_its_own_stages() -> None:
    bases = {"a": base(Cmd=["inherited"])}
    assert config('FROM a\nENTRYPOINT ["e"]', bases)["Cmd"] is None
    assert config('FROM a\nCMD ["own"]\nENTRYPOINT ["e"]', bases)["Cmd"] == ["own"]
    text = 'FROM a AS one\nCMD ["one"]\nFROM one\nENTRYPOINT ["e"]'
    assert config(text, bases)["Cmd"] is None


@pytest.mark.parametrize(
    ("lines", "kept", "path"),
    [
        ("WORKDIR /a/b/", "/a/b/", "/a/b"),
        ("WORKDIR /a/./b/../c", "/a/./b/../c", "/a/c"),
        ("WORKDIR /a\nWORKDIR b/", "/a/b", "/a/b"),
        ("WORKDIR /a/\nWORKDIR b", "/a/b", "/a/b"),
        ("ENV D=/d/\nWORKDIR $D", "/d/", "/d"),
    ],
)
def test_builder_13_an_absolute_workdir_stays_as_it_is_written(
    lines: str, kept: str, path: str
) -> None:
    step = last(f"FROM a\n{lines}")
    assert isinstance(step, WorkdirStep)
    assert (step.config.json["WorkingDir"], step.path) == (kept, path)
    assert step.created_by == f"WORKDIR {kept}"
    assert run(f"FROM a\n{lines}\nRUN x").working_dir == path
    assert transfer(f"FROM a\n{lines}\nCOPY x y").destination == f"{path}/y"


def test_workdir_is_joined_and_cleaned() -> None:
    config_ = config("FROM a\nWORKDIR /a\nWORKDIR b/../c\nENV D=d\nWORKDIR $D/")
    assert config_["WorkingDir"] == "/a/c/d"
    assert config("FROM a\nWORKDIR ../../x")["WorkingDir"] == "/x"
    step = last("FROM a\nWORKDIR //x")
    assert isinstance(step, WorkdirStep)
    assert step.path == "/x"


def test_healthcheck_onbuild_and_maintainer() -> None:
    text = "FROM a\nHEALTHCHECK --interval=5s --retries=2 CMD x\nONBUILD RUN y\nMAINTAINER z"
    step = last(text)
    assert step.config.json["Healthcheck"] == {
        "Test": ["CMD-SHELL", "x"],
        "Interval": 5_000_000_000,
        "Retries": 2,
    }
    assert step.config.json["OnBuild"] == ["RUN y"]
    assert step.config.author == "z"


def test_the_requests_labels_are_in_the_result_only() -> None:
    plan = planned("FROM a\nLABEL x=1", labels={"x": "2"})
    assert plan.steps[-1].config.json["Labels"] == {"x": "1"}
    assert plan.config.json["Labels"] == {"x": "2"}


# --- arguments ---------------------------------------------------------------------------------


def test_an_argument_before_from_counts_in_from_only() -> None:
    text = "ARG V=1\nFROM a:$V\nRUN x"
    bases = {"a:1": base(), "a:2": base()}
    asked = BuildRequest(dockerfile=text, context=None)
    assert tuple(needed_images(parse(text), asked)) == ("a:1",)
    step = last(text, bases, build_args={"V": "2"})
    assert isinstance(step, RunStep)
    assert step.variables == (DEFAULT_PATH,)
    step = last(text.replace("RUN", "ARG V\nRUN"), bases, build_args={"V": "2"})
    assert isinstance(step, RunStep)
    assert step.variables == (DEFAULT_PATH, "V=2")


def test_the_argument_given_goes_before_both_defaults() -> None:
    text = "ARG V=outer\nFROM a\nARG V=inner\nARG W\nRUN x"
    assert run(text).variables == (DEFAULT_PATH, "V=inner")
    given = run(text, build_args={"V": "given", "W": ""})
    assert given.variables == (DEFAULT_PATH, "V=given", "W=")


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ("ENV A=env\nARG A=arg", "arg"),
        ("ARG A=arg\nENV A=env", "env"),
        ("ARG A=arg", "arg"),  # over the base image's ENV
        ("ARG A", "base"),  # without a value it sets nothing
        ("ARG A=1\nARG A=2", "2"),
        ("ENV A=1\nARG A=${A}2", "12"),
    ],
)
def test_builder_6_whichever_of_env_and_arg_is_set_last_wins(lines: str, value: str) -> None:
    step = run(f"FROM a\n{lines}\nRUN x", bases={"a": base(Env=["A=base"])})
    assert f"A={value}" in step.env
    assert step.created_by == f"RUN |1 A={value} /bin/sh -c x # buildkit"
    labels = config(f"FROM a\n{lines}\nLABEL l=$A", {"a": base(Env=["A=base"])})["Labels"]
    assert labels == {"l": value}


def test_builder_6_a_given_argument_goes_before_env_too_from_its_line_on() -> None:
    text = "FROM a\nENV A=env\nRUN x\nARG A=arg\nRUN y"
    steps = planned(text, build_args={"A": "given"}).steps
    values = [entry for step in steps if isinstance(step, RunStep) for entry in step.variables]
    assert [entry for entry in values if entry.startswith("A=")] == ["A=env", "A=given"]
    image_env = planned(text, build_args={"A": "given"}).config.json["Env"]
    assert image_env == [DEFAULT_PATH, "A=env"]


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        ("ARG V=1", "", "1"),
        ("ARG V=1", "ARG V=2", "2"),
        ("ARG V=1", "ARG V", "1"),
        ("ARG V=1\nENV V=env", "", "env"),
        ("ENV V=env\nARG V=1", "", "env"),  # what the image says is taken in anew
    ],
)
def test_builder_4_a_stage_inherits_the_arguments_of_the_stage_it_begins_with(
    before: str, after: str, value: str
) -> None:
    text = f"FROM a AS base\n{before}\nFROM base AS two\nFROM two\n{after}\nRUN x"
    assert f"V={value}" in run(text).env


def test_builder_4_stages_beside_each_other_share_nothing() -> None:
    text = "FROM a AS one\nARG V=1\nFROM a\nLABEL l=[$V]\nRUN x"
    step = run(text)
    assert step.config.json["Labels"] == {"l": "[]"}
    assert not any(entry.startswith("V=") for entry in step.env)


def test_a_default_that_a_given_argument_replaces_is_not_expanded() -> None:
    step = run("FROM a\nARG V=${W:?no}\nRUN x", build_args={"V": "1"})
    assert "V=1" in step.env


def test_an_argument_counts_from_its_line_on() -> None:
    config_ = config("FROM a\nLABEL before=$V\nARG V=1\nLABEL after=$V")
    assert config_["Labels"] == {"before": "", "after": "1"}


def test_the_platform_needs_to_be_declared() -> None:
    text = "FROM a\nLABEL p=$TARGETPLATFORM\nARG TARGETPLATFORM\nLABEL q=$TARGETPLATFORM"
    assert config(text)["Labels"] == {"p": "", "q": host_platform()}


def test_the_target_has_a_name_too() -> None:
    text = "FROM a AS x\nARG TARGETSTAGE TARGETOSVERSION\nRUN x"
    assert "TARGETSTAGE=x" in run(text).variables
    assert "TARGETSTAGE=default" in run(text.replace(" AS x", "")).variables
    assert "TARGETSTAGE=x" in run(text, target="x").variables


def test_settings_of_the_builder_are_no_arguments() -> None:
    assert planned("FROM a", build_args={"BUILDKIT_INLINE_CACHE": "1"}).warnings == ()


def test_proxies_reach_run_and_neither_history_nor_key() -> None:
    plain, proxied = run("FROM a\nRUN x"), run("FROM a\nRUN x", build_args={"http_proxy": "p"})
    assert "http_proxy=p" in proxied.env
    assert proxied.created_by == plain.created_by == "RUN /bin/sh -c x # buildkit"
    assert proxied.identity == plain.identity


def test_arguments_are_in_history_and_key_of_run() -> None:
    first, two = (run("FROM a\nARG V B=2\nRUN x", build_args={"V": v}) for v in "12")
    assert first.created_by == "RUN |2 V=1 B=2 /bin/sh -c x # buildkit"
    assert first.identity != two.identity


def test_unused_arguments_and_undefined_variables_are_warned_of() -> None:
    plan = planned("FROM a\nLABEL x=$typo\nRUN $of_the_shell", build_args={"b": "", "a": ""})
    assert tuple(map(str, plan.warnings)) == (
        "UndefinedVar: Usage of undefined variable '$typo' (line 2)",
        "One or more build-args [a, b] were not consumed",
    )


# --- RUN and COPY ------------------------------------------------------------------------------


def test_variables_are_the_shells_in_run_cmd_and_entrypoint() -> None:
    assert run("FROM a\nENV v=1\nRUN echo $v").argv == ("/bin/sh", "-c", "echo $v")
    assert config("FROM a\nENV v=1\nENTRYPOINT echo $v")["Entrypoint"][-1] == "echo $v"


def test_copy_has_absolute_paths_and_expanded_words() -> None:
    step = transfer("FROM a\nENV D=dir M=644\nWORKDIR /w\nCOPY --chmod=$M 'a' $D/b $D/x/")
    assert (step.sources, step.destination, step.into) == (("a", "dir/b"), "/w/dir/x", True)
    assert step.mode == Mode.parse("644")


def test_copy_in_json_takes_blanks_and_other_copies_say_so() -> None:
    step = transfer('FROM a\nENV D=dir\nCOPY --chown=$D ["b c", "$D/x/"]')
    assert (step.sources, step.destination, step.chown) == (("b c",), "/dir/x", "dir")
    assert refused('FROM a\nCOPY "b c" d').endswith("paths with blanks need the JSON form")


@pytest.mark.parametrize(
    ("destination", "path", "into"),
    [
        ("/", "/", True),
        (".", "/w", True),
        ("./", "/w", True),
        ("x", "/w/x", False),
        ("/x/.", "/x", True),
        ("../x", "/x", False),
        ("/a//b/", "/a/b", True),
    ],
)
def test_a_destination_says_whether_it_is_a_directory(
    destination: str, path: str, into: bool
) -> None:
    step = transfer(f"FROM a\nWORKDIR /w\nCOPY x {destination}")
    assert (step.destination, step.into) == (path, into)


def test_the_key_of_a_copy_does_not_know_which_stage_it_is_from() -> None:
    step = transfer("FROM a AS one\nFROM a\nCOPY --from=one /x /y")
    two = transfer("FROM a\nCOPY /x /y")
    assert step.identity == two.identity


def test_every_step_describes_itself() -> None:
    plan = planned(
        "FROM scratch AS s\nFROM a AS one\nUSER u\nWORKDIR /w\nRUN x\nCOPY f /\n"
        "FROM one\nCOPY --from=one /f /g\nCOPY --from=a /h <<EOF /i/\nEOF\nCOPY --from=s /x /\n"
        "CMD y",
    )
    assert [step.describe() for step in plan.steps] == [
        "begin stage 0 with nothing",
        "begin stage 1 with the 1 layers of a",
        "USER u: changes the image's config only, no layer",
        "make the directory /w if it is missing; commands run there from now on",
        "run `/bin/sh -c x` in /w as u; what it writes becomes a layer",
        "copy f from the build context to /, in a layer of its own",
        "begin stage 2 with the result of stage 1",
        "copy /f from stage 1 to /g, in a layer of its own",
        "copy /h, the text EOF from the image a to /i, in a layer of its own",
        "copy /x from stage 0 to /, in a layer of its own",
        """CMD ["/bin/sh" "-c" "y"]: changes the image's config only, no layer""",
    ]


def test_triggers_of_the_base_come_first_and_are_not_inherited() -> None:
    plan = planned("FROM a\nCMD x", {"a": base(OnBuild=["ENV A=1", "RUN y"])})
    assert [step.text for step in plan.steps] == ["FROM a", "ENV A=1", "RUN y", "CMD x"]
    assert {step.line for step in plan.steps[:3]} == {1}
    assert "OnBuild" not in plan.config.json


# --- stages ------------------------------------------------------------------------------------


def test_images_of_stages_that_are_not_needed_are_not_asked_for() -> None:
    text = "FROM x AS one\nFROM y AS two\nFROM z\nCOPY --from=two /a /b\nCOPY --from=w /c /d"
    asked = BuildRequest(dockerfile=text, context=None)
    assert tuple(needed_images(parse(text), asked)) == ("y", "z", "w")
    asked = BuildRequest(dockerfile=text, context=None, target="one")
    assert tuple(needed_images(parse(text), asked)) == ("x",)


def test_a_stage_goes_before_an_image_of_its_name_and_only_earlier_ones_count() -> None:
    text = "FROM a AS b\nFROM b AS a\nFROM a"
    assert tuple(needed_images(parse(text), BuildRequest(dockerfile=text, context=None))) == ("a",)


@pytest.mark.parametrize("name", ["y", "1"])
def test_a_stage_that_is_copied_from_stands_before(name: str) -> None:
    text = f"FROM a AS x\nCOPY --from={name} /f /\nFROM a AS y"
    assert refused(text, target="x") == (
        f'2: cannot copy from stage "{name}", it needs to be defined before current stage "x"'
    )
    text = f"FROM a AS x\nRUN --mount=from={name},target=/f /\nFROM a AS y"
    assert refused(text, target="x") == (
        f'2: cannot mount from stage "{name}", stage needs to be defined before current command'
    )


def test_the_plan_without_its_base_is_a_bug() -> None:
    with pytest.raises(EngineBug):
        planned("FROM other")


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM $nothing", "1: base name ($nothing) should not be blank"),
        ("FROM a\nENV x=${y:?needed}", "2: y: needed"),
        ("FROM a\nENV p=99999\nEXPOSE $p", "3: invalid containerPort: 99999"),
        ("FROM a\nSTOPSIGNAL SIGNOT", "2: Invalid signal: SIGNOT"),
        ("FROM a\nCOPY a b /c", "2: When using COPY with more than one source file, the "
         "destination must be a directory and end with a /"),
        ("FROM a\nCOPY --chmod=9 a b", "2: invalid chmod parameter: '9'. it should be octal "
         "string and between 0 and 07777, or symbolic as in u=rwX,go=rX"),
        ("FROM a\nCOPY --from=0 a b", None),
        ("FROM a\nFROM a\nCOPY --from=2 a b", "3: invalid stage index 2: the file has 2, "
         "counted from 0"),
        ("FROM a AS x\nCOPY --from=x a b", "1: circular dependency detected on stage: x (x → x)"),
        ("FROM a AS x\nCOPY --from=y a b\nFROM a AS y\nRUN --mount=from=x,target=/m c",
         "3: circular dependency detected on stage: y (y → x → y)"),
        ("FROM a\nCOPY --from=$x a b", "2: variable expansion is not supported for --from, "
         "define a new stage instead"),
        ("FROM a\nRUN --network=host x", "2: network.host is not allowed: build with "
         "--allow network.host"),
        ("FROM a\nADD --checksum=sha256:1 a b", "2: ADD --checksum is only for remote sources"),
        ("FROM a\nENV a=" + "x" * 1000 + "\n" + "ENV a=$a$a\n" * 20, None),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_at_its_line(text: str, reason: str | None) -> None:
    text_ = refused(text)
    assert reason is None or text_ == reason


@pytest.mark.parametrize(
    "line",
    [
        "RUN --device=gpu x",
    ],
)
def test_what_is_read_and_not_done_is_refused_by_line(line: str) -> None:
    with pytest.raises(Unsupported, match=r"^Dockerfile:2: .* is not supported \("):
        planned(f"FROM a\n{line}")


def test_cve_2024_23653_a_dockerfile_gives_itself_no_privilege() -> None:
    insecure, host = "FROM a\nRUN --security=insecure x", "FROM a\nRUN --network=host x"
    assert "security.insecure is not allowed" in refused(insecure)
    assert "network.host is not allowed" in refused(host)
    assert run(insecure, allow=("security.insecure",)).privileged
    assert run(host, allow=("network.host",)).network == "host"
    assert run(host, network="host").network == "host"


def test_another_platform_is_refused_and_this_one_is_not() -> None:
    planned(f"FROM --platform={host_platform()} a")
    planned("FROM --platform=$BUILDPLATFORM a")
    with pytest.raises(Unsupported, match="Dockerfile:1: --platform=plan9/mips"):
        planned("FROM --platform=plan9/mips a")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM --platform=$TYPO a", 1),
        ("FROM --platform=${TYPO} a", 1),
        ("ARG P\nFROM --platform=$P a", 2),
        ("ARG P=\nFROM --platform=$P a", 2),
    ],
)
def test_builder_12_a_platform_that_comes_to_nothing_is_refused(text: str, line: int) -> None:
    reason = rf"^Dockerfile:{line}: empty platform value from expression \$"
    with pytest.raises(DockerfileError, match=reason):
        planned(text)


def test_a_target_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match='target stage "x" could not be found'):
        planned("FROM a", target="x")
