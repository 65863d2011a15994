"""No Dockerfile makes a build raise anything but the engine's own errors, or leave anything."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import DockmagicError, EngineBug
from dockmagic_runtime.model.build import BuildEvent
from tests.runtime.builder.conftest import Site
from tests.runtime.builder.test_plan_fuzz import FILES

pytestmark = pytest.mark.root

SOURCES = "b b/c b/* x=y . ./ * ../b b/./c b/** **/c link link/c loop t.tar nothing [ /b/c".split()
PLACES = "/ /b /b/c /b/c/ /x/y/ . .. x ./x/ / /link/z /loop/z /new".split()
FLAGS = (
    "--link --parents --chmod=u+x --chmod=0 --chown=1:2 --chown=root --exclude=c --exclude=** "
    "--from=s --from=a --from=t"
).split()
COPIES = st.builds(
    lambda verb, flags, sources, place: " ".join([verb, *flags, *sources, place]),
    st.sampled_from(["COPY", "ADD"]),
    st.lists(st.sampled_from(FLAGS), max_size=2, unique_by=lambda flag: flag.partition("=")[0]),
    st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2),
    st.sampled_from(PLACES),
)
OTHERS = st.sampled_from(
    ["RUN x", "WORKDIR /w", "WORKDIR b/c", "WORKDIR /link", "USER 1", "ENV A=b",
     "RUN --mount=target=/m,source=b x", "RUN --mount=type=cache,target=/b/c/d x",
     "RUN --mount=from=s,target=/link/m x", "COPY <<E /b\ntext\nE"]
)  # fmt: skip
STAGE = st.lists(COPIES | OTHERS, max_size=4).map("\n".join)
BUILDS = st.builds("FROM a AS s\n{}\nFROM scratch AS t\n{}\nFROM s\n{}".format, STAGE, STAGE, STAGE)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example("FROM a\nCOPY x/. /y\nCOPY . /y/b/c")
@example("FROM a\nCOPY b/c /b\nCOPY . /b/c/")
@given(FILES | BUILDS)
def test_only_errors_of_the_engine_are_raised(site: Site, text: str) -> None:
    if not site.images.list():
        _prepare(site)
    for far, near in (("http://h", "http://127.0.0.1:1"), ("https://h", "x"), ("git@h", "x")):
        text = text.replace(far, near)
    outcome = _built(site, text)
    assert outcome
    assert not isinstance(outcome, EngineBug)


def _prepare(site: Site) -> None:
    site.write("b/c", "a file")
    site.write("x=y", "a file")
    site.write("t.tar", "no archive")
    (site.context / "link").symlink_to("b")
    (site.context / "loop").symlink_to("loop")
    for name in ("a", "b"):
        site.images.tag(site.build("FROM scratch\nCOPY . /").id, name)


def _built(site: Site, text: str) -> list[BuildEvent] | DockmagicError:
    try:
        return site.events(text)
    except DockmagicError as error:
        return error
