"""`RUN --mount`: its words, and what they do to the key."""

from __future__ import annotations

import pytest

from dockmagic_runtime.builder import Base
from dockmagic_runtime.builder.plan.plan import plan
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import RunStep, StepMount
from dockmagic_runtime.dockerfile import DockerfileError, parse
from dockmagic_runtime.model.build import BuildRequest

BASE = Base(image_id="sha256:1", config={}, chain_ids=("sha256:2",))


def run(options: str, before: str = "", **request: object) -> RunStep:
    text = f"FROM a AS first\nFROM a\n{before}\nRUN --mount={options} x"
    made = BuildRequest(dockerfile=text, context=None, **request)  # type: ignore[arg-type]
    step = plan(parse(text), made, {"a": BASE}).steps[-1]
    assert isinstance(step, RunStep)
    return step


def mount(options: str, before: str = "", **request: object) -> StepMount:
    (made,) = run(options, before, **request).mounts
    return made


def test_a_bind_is_from_the_context_and_read_only_unless_told() -> None:
    assert mount("target=/t") == StepMount(
        kind="bind", target="/t", origin=SourceStage(), read_only=True
    )
    made = mount("type=bind,from=first,source=a/../b,dst=t,rw", "WORKDIR /w")
    assert (made.target, made.source, made.read_only) == ("/w/t", "/b", False)
    assert made.origin == SourceStage(stage=0)


def test_a_bind_may_come_from_an_image_or_a_named_context() -> None:
    assert mount("from=a,target=/t").origin == SourceStage(image="a", layers=("sha256:2",))
    named = mount("from=docs,target=/t", build_contexts={"docs": "/docs"})
    assert named.origin == SourceStage(context="docs")
    image = mount("from=docs,target=/t", build_contexts={"docs": "docker-image://a"})
    assert image.origin == SourceStage(image="a", layers=("sha256:2",))


def test_a_cache_goes_by_its_target_unless_it_has_an_id() -> None:
    made = mount("type=cache,target=/c")
    assert (made.id, made.sharing, made.mode, made.read_only) == ("/c", "shared", 0o755, False)
    made = mount("type=cache,target=/c,id=x,sharing=locked,mode=0700,uid=1,gid=2,ro")
    assert (made.id, made.sharing, made.mode) == ("x", "locked", 0o700)
    assert (made.uid, made.gid, made.read_only) == (1, 2, True)


def test_a_tmpfs_has_a_size() -> None:
    assert mount("type=tmpfs,target=/t").size == 0
    assert mount("type=tmpfs,target=/t,size=1.5m").size == 1536 * 1024


def test_a_secret_goes_by_id_and_lies_where_docker_puts_it() -> None:
    made = mount("type=secret,id=key")
    assert (made.id, made.target, made.mode, made.required) == (
        "key", "/run/secrets/key", 0o400, False,
    )  # fmt: skip
    assert mount("type=secret,target=/a/key").id == "key"
    assert mount("type=secret,id=key,env=KEY").target == ""
    made = mount("type=secret,id=key,env=KEY,target=/k,required")
    assert (made.env, made.target, made.required) == ("KEY", "/k", True)


def test_agents_get_a_socket_each() -> None:
    assert mount("type=ssh").target == "/run/buildkit/ssh_agent.0"
    step = run("type=ssh --mount=type=ssh,id=other,mode=0666")
    assert [one.target for one in step.mounts] == [
        "/run/buildkit/ssh_agent.0",
        "/run/buildkit/ssh_agent.1",
    ]
    assert [one.id for one in step.mounts] == ["default", "other"]


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
    assert failure.value.message.startswith("Dockerfile:4:1: ")
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
    one = run("type=secret,id=a", secrets={"a": b"hunter2"})
    assert one.identity == run("type=secret,id=a", secrets={"a": b"other"}).identity
    request = BuildRequest(dockerfile="", context=None, secrets={"a": b"hunter2"})
    assert "hunter2" not in repr(request) + repr(one) + one.describe() + one.created_by
