"""`RUN --mount`: its words, and what they do to the key."""

from __future__ import annotations

import pytest

from dockmagic_runtime.builder import Base
from dockmagic_runtime.builder.plan.plan import make_plan
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import RunStep, StepMount
from dockmagic_runtime.dockerfile import DockerfileError, parse
from dockmagic_runtime.model.build import BuildRequest

BASE = Base(image_id="sha256:1", config={}, chain_ids=("sha256:2",))


def run(options: str, before: str = "", **request: object) -> RunStep:
    text = f"FROM a AS first\nFROM a\n{before}\nRUN --mount={options} x"
    build_request = BuildRequest(dockerfile=text, context=None, **request)  # type: ignore[arg-type]
    step = make_plan(parse(text), build_request, {"a": BASE}).steps[-1]
    assert isinstance(step, RunStep)
    return step


def mount(options: str, before: str = "", **request: object) -> StepMount:
    (mount_,) = run(options, before, **request).mounts
    return mount_


def test_a_bind_is_from_the_context_and_read_only_unless_told() -> None:
    assert mount("target=/t") == StepMount(
        kind="bind", target="/t", source_stage=SourceStage(), read_only=True
    )
    mount_ = mount("type=bind,from=first,source=a/../b,dst=t,rw", "WORKDIR /w")
    assert (mount_.target, mount_.source, mount_.read_only) == ("/w/t", "/b", False)
    assert mount_.source_stage == SourceStage(stage=0)


def test_a_bind_may_come_from_an_image_or_a_named_context() -> None:
    assert mount("from=a,target=/t").source_stage == SourceStage(image="a", layers=("sha256:2",))
    named = mount("from=docs,target=/t", build_contexts={"docs": "/docs"})
    assert named.source_stage == SourceStage(context="docs")
    image = mount("from=docs,target=/t", build_contexts={"docs": "docker-image://a"})
    assert image.source_stage == SourceStage(image="a", layers=("sha256:2",))


def test_a_cache_goes_by_its_target_unless_it_has_an_id() -> None:
    mount_ = mount("type=cache,target=/c")
    assert (mount_.id, mount_.sharing, mount_.mode, mount_.read_only) == (
        "/c",
        "shared",
        0o755,
        False,
    )
    mount_ = mount("type=cache,target=/c,id=x,sharing=locked,mode=0700,uid=1,gid=2,ro")
    assert (mount_.id, mount_.sharing, mount_.mode) == ("x", "locked", 0o700)
    assert (mount_.uid, mount_.gid, mount_.read_only) == (1, 2, True)


def test_a_tmpfs_has_a_size() -> None:
    assert mount("type=tmpfs,target=/t").size == 0
    assert mount("type=tmpfs,target=/t,size=1.5m").size == 1536 * 1024


def test_a_secret_goes_by_id_and_lies_where_docker_puts_it() -> None:
    mount_ = mount("type=secret,id=key")
    assert (mount_.id, mount_.target, mount_.mode, mount_.required) == (
        "key", "/run/secrets/key", 0o400, False,
    )  # fmt: skip
    assert mount("type=secret,target=/a/key").id == "key"
    assert mount("type=secret,id=key,env=KEY").target == ""
    mount_ = mount("type=secret,id=key,env=KEY,target=/k,required")
    assert (mount_.env, mount_.target, mount_.required) == ("KEY", "/k", True)


def test_agents_get_a_socket_each() -> None:
    assert mount("type=ssh").target == "/run/buildkit/ssh_agent.0"
    step = run("type=ssh --mount=type=ssh,id=other,mode=0666")
    assert [mount_.target for mount_ in step.mounts] == [
        "/run/buildkit/ssh_agent.0",
        "/run/buildkit/ssh_agent.1",
    ]
    assert [mount_.id for mount_ in step.mounts] == ["default", "other"]


def test_variables_have_their_values() -> None:
    assert mount("type=cache,target=$D/x,id=${D}-1", "ARG D=/d").target == "/d/x"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("type=bind", "a mount needs a target"),
        ("type=cache,target=/", "the root is not a mount point"),
        ("type=cache,target=/x,sharing=none", 'unsupported sharing value "none"'),
        ("type=cache,target=/x,size=1", "unexpected key 'size' for mount type 'cache'"),
        ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
        ("type=cache,target=/x,uid=-1", "invalid value -1 for uid"),
        ("type=tmpfs,target=/x,size=much", "invalid value for size: much"),
        ("type=secret", "one of source, target required"),
        ("type=secret,id=x,required=maybe", "invalid value for required: maybe"),
        ("from=$x,target=/x", "variable expansion is not supported for --from"),
        ("from=7,target=/x", "invalid stage index 7"),
    ],
)
def test_what_makes_no_sense_is_refused_by_line(options: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as failure:
        run(options)
    assert failure.value.message.startswith("Dockerfile:4: ")
    assert reason in failure.value.message


def test_all_that_is_written_counts_for_the_key() -> None:
    lines = [
        "target=/t", "target=/u", "target=/t,rw", "target=/t,source=x", "type=cache,target=/t",
        "type=cache,target=/t,id=x", "type=cache,target=/t,sharing=locked",
        "type=cache,target=/t,uid=1", "type=tmpfs,target=/t", "type=tmpfs,target=/t,size=1",
        "type=secret,id=a", "type=secret,id=b", "type=secret,id=a,env=A", "type=ssh",
        "type=ssh,required",
    ]  # fmt: skip
    identities = [run(line).identity for line in lines]
    assert len(set(identities)) == len(lines)


def test_a_secrets_value_does_not_and_is_nowhere_to_be_seen() -> None:
    step = run("type=secret,id=a", secrets={"a": b"hunter2"})
    assert step.identity == run("type=secret,id=a", secrets={"a": b"other"}).identity
    build_request = BuildRequest(dockerfile="", context=None, secrets={"a": b"hunter2"})
    assert "hunter2" not in repr(build_request) + repr(step) + step.describe() + step.created_by
