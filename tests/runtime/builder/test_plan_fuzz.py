"""No Dockerfile and no request make the planner raise anything but the engine's own errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dockmagic_runtime.builder import Base, Plan, needed_images
from dockmagic_runtime.builder.plan.outline import outline
from dockmagic_runtime.builder.plan.plan import make_plan
from dockmagic_runtime.builder.plan.steps import BaseStep, ConfigStep
from dockmagic_runtime.dockerfile import parse
from dockmagic_runtime.errors import DockmagicError, EngineBug
from dockmagic_runtime.model.build import BuildRequest

PLAIN = Base(image_id="sha256:1", config={"config": {"Env": ["A=1"]}}, chain_ids=("sha256:2",))
TRIGGERS = replace(PLAIN, config={"config": {"OnBuild": ["COPY --from=s /x /y"]}})

WITHOUT_EFFECT = (BaseStep, ConfigStep)  # on files: no cache is asked for them


class Bases(Mapping[str, Base]):
    """Every image there could be."""

    def __getitem__(self, name: str) -> Base:
        return TRIGGERS if name.startswith("b") else PLAIN

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


WORDS = st.sampled_from(
    [
        *("a", "b/c", "./", "/", "..", "$A", "${A:-x}", "${A:?no}", "${A%%*}", "'q'", '"r s"'),
        *("*", "[", "**", "x=y", "A=$A", "80", "80/tcp", "1-2", "9999999", "é", "\\", "s", ":"),
        *("--from=s", "--from=t", "--from=0", "--from=a", "--from=scratch", "--chmod=u+x",
          "--chmod=999", "--chown=1:2", "--chown=a", "--parents", "--link", "--exclude=*",
          "--checksum=sha256:0", "--keep-git-dir", "--unpack", "--network=none", "--network=host",
          "--security=insecure", "--device=x", "--platform=linux/s390x"),
        *("--mount=type=bind,target=/x", "--mount=type=cache,target=/", "--mount=type=secret",
          "--mount=type=tmpfs,target=/t,size=x", "--mount=type=ssh", "--mount=from=t,target=/x",
          "--mount=target=$A", "--mount=type=secret,id=$A,env=B"),
        *("http://h/a", "https://h/a.git", "git@h:x", "https://[", "http://h/%ff", "<<E",
          '["a", "b"]', "[]", "NONE", "CMD x", "RUN x", "COPY --from=s a b"),
    ]
)  # fmt: skip
LINES = st.tuples(
    st.sampled_from(
        "RUN COPY ADD ENV ARG LABEL USER WORKDIR EXPOSE VOLUME STOPSIGNAL HEALTHCHECK SHELL CMD "
        "ENTRYPOINT ONBUILD".split()
    ),
    st.lists(WORDS, min_size=1, max_size=4).map(" ".join),
).map(" ".join)
STAGES = st.tuples(
    st.sampled_from(
        ["FROM a", "FROM b", "FROM a AS s", "FROM s AS t", "FROM scratch", "FROM $A AS s"]
    ),
    st.lists(LINES, max_size=4),
).map(lambda stage: "\n".join([stage[0], *stage[1]]))
FILES = st.tuples(
    st.sampled_from(["", "ARG A\n", "ARG A=a B=$A\n", "# check=error=true\n"]),
    st.lists(STAGES, min_size=1, max_size=3).map("\n".join),
).map("".join)


@settings(max_examples=200, deadline=None)
@example("FROM a AS s\nADD https://[ /x", "", {})
@given(
    FILES,
    st.sampled_from(["", "s", "0", "nope"]),
    st.dictionaries(
        st.sampled_from(["A", "SOURCE_DATE_EPOCH", "X"]), st.sampled_from(["", "1", "x:y"])
    ),
)
def test_only_errors_of_the_engine_are_raised(
    text: str, target: str, arguments: dict[str, str]
) -> None:
    request = BuildRequest(dockerfile=text, context=None, target=target, build_args=arguments)
    plan = planned(request)
    assert not isinstance(plan, EngineBug)
    assert str(plan)
    if isinstance(plan, Plan):
        assert all(step.describe() and plan.excerpt(step) for step in plan.steps)
        assert all(step.identity for step in plan.steps if not isinstance(step, WITHOUT_EFFECT))


def planned(request: BuildRequest) -> Plan | DockmagicError:
    try:
        dockerfile = parse(request.dockerfile or "")
        outline(dockerfile, request)
        needed_images(dockerfile, request, Bases())
        return make_plan(dockerfile, request, Bases())
    except DockmagicError as error:
        return error
