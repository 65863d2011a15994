"""What a Dockerfile offers and takes."""

from __future__ import annotations

import pytest

from dockmagic_runtime.builder.plan.outline import outline
from dockmagic_runtime.dockerfile import parse
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.model.outline import BuildArgument, BuildInput, BuildOutline

TEXT = """\
# VERSION of the base
ARG VERSION=1

# tool compiles it
FROM gcc:$VERSION AS tool
ARG VERSION
# LEVEL of optimisation
ARG LEVEL=2 OTHER
RUN --mount=type=secret,id=token,required --mount=type=ssh make
FROM scratch AS unused
ARG NOT=1
FROM scratch
RUN --mount=type=secret,target=/run/key --mount=type=secret,id=token x
COPY --from=tool /t /
"""


def told(**request: object) -> BuildOutline:
    return outline(parse(TEXT), BuildRequest(dockerfile=TEXT, context=None, **request))  # type: ignore[arg-type]


def test_stages_are_told_with_what_their_comments_say() -> None:
    names = [(target.name, target.description, target.is_default) for target in told().targets]
    assert names == [("tool", "compiles it", False), ("unused", "", False), ("2", "", True)]


def test_arguments_are_those_of_the_stages_that_are_built() -> None:
    outlined = told(build_args={"LEVEL": "3"})
    assert outlined.arguments == (
        BuildArgument(name="VERSION", value="1", description="of the base"),
        BuildArgument(name="LEVEL", value="3", description="of optimisation"),
        BuildArgument(name="OTHER", value=None),
    )
    assert [argument.name for argument in told(target="unused").arguments] == ["VERSION", "NOT"]


def test_secrets_and_agents_go_by_their_ids() -> None:
    assert told().secrets == (
        BuildInput(id="token", required=True),
        BuildInput(id="key", required=False),
    )
    assert told().ssh == (BuildInput(id="default", required=False),)
    with pytest.raises(InvalidInput, match='target stage "toll" could not be found'):
        told(target="toll")
