"""Builds of several stages, and triggers."""

from __future__ import annotations

import pytest

from dockmagic_runtime.dockerfile import DockerfileError
from dockmagic_runtime.errors import InvalidInput

from .conftest import Site, cached, forget_layers

pytestmark = pytest.mark.root


def test_only_the_stages_that_the_target_needs_are_built(mysite: Site) -> None:
    dockerfile = (
        "FROM scratch AS base\nCOPY . /\nFROM base AS unused\nRUN unused\n"
        "FROM base AS build\nRUN touch\nFROM scratch\nCOPY --from=build /made /out/\n"
    )
    image = mysite.build(dockerfile)
    assert [process.argv[-1] for process in mysite.runner.processes] == ["touch"]
    assert (mysite.layer(image) / "out/made").read_text() == "by the step"
    assert len(image.chain_ids) == 1


def test_a_target_stops_the_build_there(mysite: Site) -> None:
    dockerfile = "FROM scratch AS first\nCOPY . /\nFROM first AS second\nRUN touch"
    assert len(mysite.build(dockerfile, target="first").chain_ids) == 1
    assert len(mysite.build(dockerfile, target="SECOND").chain_ids) == 2
    assert len(mysite.build(dockerfile, target="0").chain_ids) == 1


def test_an_unknown_target_suggests_a_near_one(site: Site) -> None:
    with pytest.raises(InvalidInput, match=r"could not be found.*did you mean builder") as failure:
        site.build("FROM scratch AS builder\nCMD x", target="bulider")
    assert 'target stage "bulider"' in failure.value.message


def test_copy_from_by_number_by_name_and_from_an_image(mysite: Site) -> None:
    mysite.images.tag(mysite.build("FROM scratch\nCOPY index.html /page").id, "pages")
    image = mysite.build(
        "FROM scratch AS one\nCOPY index.html /a\n"
        "FROM scratch\nCOPY --from=0 /a /0\nCOPY --from=ONE /a /1\nCOPY --from=pages /page /2"
    )
    assert [(mysite.layer(image, n) / str(n)).read_text() for n in range(3)] == ["hello"] * 3


def test_copy_from_a_stage_made_anew_with_equal_contents_is_cached(mysite: Site) -> None:
    dockerfile = (
        "FROM scratch AS build\nCOPY index.html /seed\nRUN touch\n"
        "FROM scratch\nCOPY --from=build /made /"
    )
    mysite.build(dockerfile)
    mysite.write("index.html", "changed")
    assert cached(mysite, dockerfile) == [False, False, True]


def test_copy_from_a_stage_keeps_owners(mysite: Site) -> None:
    image = mysite.build(
        "FROM scratch AS one\nCOPY --chown=7:8 index.html /a\nFROM scratch\nCOPY --from=one /a /"
    )
    status = (mysite.layer(image) / "a").stat()
    assert (status.st_uid, status.st_gid) == (7, 8)


def test_a_stage_on_a_rebuilt_stage_is_rebuilt(mysite: Site) -> None:
    dockerfile = "FROM scratch AS a\nCOPY . /\nRUN touch\nFROM a\nENV X=1\nRUN touch"
    mysite.build(dockerfile)
    forget_layers(mysite, "parent = ''")
    steps = mysite.steps(dockerfile)
    assert [step.cached for step in steps] == [False, False, False]


def test_a_trigger_of_the_base_image_fires_once(mysite: Site) -> None:
    base = mysite.build("FROM scratch\nONBUILD COPY index.html /got/\nONBUILD ENV FIRED=1")
    mysite.images.tag(base.id, "base")
    image = mysite.build("FROM base\nCMD x")
    assert (mysite.layer(image) / "got/index.html").read_text() == "hello"
    assert "FIRED=1" in image.config.env
    mysite.images.tag(image.id, "child")
    assert "OnBuild" not in mysite.images.config(image.id)["config"]
    assert len(mysite.build("FROM child\nCMD y").chain_ids) == 1


def test_a_trigger_may_take_from_stages_and_images(mysite: Site) -> None:
    """Its names are those of the Dockerfile it fires in."""
    mysite.images.tag(mysite.build("FROM scratch\nCOPY index.html /").id, "base")
    triggers = (
        "FROM base\nONBUILD COPY --from=made /made /from-stage\n"
        "ONBUILD COPY --from=other /other /from-image\n"
        "ONBUILD RUN --mount=from=made,target=/m use"
    )
    mysite.images.tag(mysite.build(triggers).id, "triggers")
    other = mysite.build("FROM scratch\nCOPY <<EOF /other\nimage\nEOF")
    mysite.images.tag(other.id, "other")
    text = "FROM scratch AS made\nCOPY <<EOF /made\nstage\nEOF\nFROM triggers"
    image = mysite.build(text)
    layers = [mysite.layer(image, number) for number in (-3, -2)]
    assert (layers[0] / "from-stage").read_text() == "stage\n"
    assert (layers[1] / "from-image").read_text() == "image\n"


def test_triggers_of_an_earlier_stage_fire_too(mysite: Site) -> None:
    mysite.images.tag(mysite.build("FROM scratch\nCOPY index.html /").id, "base")
    text = (
        "FROM scratch AS data\nCOPY <<EOF /d\nd\nEOF\n"
        "FROM base AS middle\nONBUILD COPY --from=data /d /fired\nFROM middle"
    )
    assert (mysite.layer(mysite.build(text)) / "fired").read_text() == "d\n"


def test_a_trigger_in_a_circle_is_told(mysite: Site) -> None:
    mysite.images.tag(mysite.build("FROM scratch\nONBUILD COPY --from=x /a /b").id, "triggers")
    with pytest.raises(DockerfileError, match="circular dependency detected on stage: x"):
        mysite.build("FROM triggers AS x")


def test_a_malformed_image_name_is_told_at_its_line(site: Site) -> None:
    with pytest.raises(DockerfileError, match="invalid reference format") as failure:
        site.build("FROM scratch\nCOPY --from=A:B:C /a /b")
    assert failure.value.problems[0].line == 2
