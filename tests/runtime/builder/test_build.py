"""Whole builds: events, images, cache, failures. The overlays and the layers are real."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockmagic_runtime.builder.ports import StepProcess
from dockmagic_runtime.dockerfile import DockerfileError
from dockmagic_runtime.errors import InvalidInput, NotFound, ProcessFailed, StartFailed
from dockmagic_runtime.model.events import (
    BuildDone,
    BuildRequest,
    BuildStarted,
    PullStatus,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.usage import CacheBounds

if TYPE_CHECKING:
    from tests.runtime.builder.conftest import Site

pytestmark = pytest.mark.root

SITE = """\
FROM scratch
LABEL maintainer="me"
COPY index.html /htdocs/
RUN touch
CMD ["httpd"]
"""


def touch(process: StepProcess) -> None:
    Path(process.upper, "made").write_text("by the step")


@pytest.fixture
def mysite(site: Site) -> Site:
    site.write("index.html", "hello")
    site.runner.commands["touch"] = touch
    return site


def cached(site: Site, dockerfile: str, **request: object) -> list[bool]:
    return [step.cached for step in site.steps(dockerfile, **request)]


def reasons(site: Site, dockerfile: str, **request: object) -> list[str]:
    return [step.reason for step in site.steps(dockerfile, **request)]


def forget_layers(site: Site, which: str) -> None:
    with site.database.transaction() as connection:
        connection.execute("DELETE FROM tags")
        connection.execute("DELETE FROM images")
        connection.execute(f"DELETE FROM layers WHERE {which}")


# --- events and images -------------------------------------------------------------------------


def test_a_build_tells_all_it_does(mysite: Site) -> None:
    events = mysite.events(SITE, tags=("mysite",))
    assert isinstance(events[0], BuildStarted)
    assert events[0].steps == 5
    started = [event for event in events if isinstance(event, StepStarted)]
    assert [(one.number, one.line, one.instruction) for one in started] == [
        (1, 1, "FROM scratch"),
        (2, 2, 'LABEL maintainer="me"'),
        (3, 3, "COPY index.html /htdocs/"),
        (4, 4, "RUN touch"),
        (5, 5, 'CMD ["httpd"]'),
    ]
    assert StepOutput(number=4, stream="stdout", data=b"running touch\n") in events
    assert isinstance(events[-1], BuildDone)
    assert events[-1].tags == ("mysite:latest",)
    image = events[-1].image
    assert (mysite.layer(image, 0) / "htdocs/index.html").read_text() == "hello"
    assert (mysite.layer(image, 1) / "made").read_text() == "by the step"


def test_the_image_document_is_valid_and_tells_its_history(mysite: Site) -> None:
    document = mysite.document(SITE)
    assert document["os"] == "linux"
    assert document["config"]["Labels"] == {"maintainer": "me"}
    assert document["config"]["Cmd"] == ["httpd"]
    assert document["rootfs"]["type"] == "layers"
    rows = [(row["created_by"], row.get("empty_layer", False)) for row in document["history"]]
    assert rows == [
        ("LABEL maintainer=me", True),
        ("COPY index.html /htdocs/", False),
        ("RUN /bin/sh -c touch", False),
        ('CMD ["httpd"]', True),
    ]
    layers = [row for row in document["history"] if not row.get("empty_layer")]
    assert len(layers) == len(document["rootfs"]["diff_ids"])
    assert document["created"] == document["history"][-1]["created"]


def test_a_run_gets_environment_directory_user_and_the_layers_below(mysite: Site) -> None:
    mysite.build(
        "FROM scratch\nCOPY index.html /\nENV A=1\nARG B=2\nARG C\nUSER 5:6\nWORKDIR /w\nRUN x"
    )
    (process,) = mysite.runner.processes
    assert process.argv == ("/bin/sh", "-c", "x")
    assert set(process.env) == {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "A=1",
        "B=2",
    }
    assert (process.user, process.working_dir, process.network) == ("5:6", "/w", "bridge")
    assert len(process.layers) == 2  # COPY, WORKDIR
    assert (Path(mysite.layers.path(process.layers[0])) / "w").is_dir()


def test_run_network_none_and_the_requests_network_reach_the_runner(mysite: Site) -> None:
    mysite.build(
        "FROM scratch\nCOPY . /\nRUN --network=none a\nRUN b\nRUN --network=default c",
        network="host",
    )
    assert [one.network for one in mysite.runner.processes] == ["none", "host", "host"]


def test_the_base_image_is_pulled_when_it_is_missing(site: Site) -> None:
    events = site.events("FROM pullable\nCMD x")
    assert isinstance(events[0], PullStatus)
    again = site.events("FROM pullable\nCMD x")
    assert not any(isinstance(event, PullStatus) for event in again)
    fresh = site.events("FROM pullable\nCMD x", pull=True)
    assert any(isinstance(event, PullStatus) for event in fresh)


def test_an_unknown_base_image_is_an_error_and_nothing_is_built(site: Site) -> None:
    with pytest.raises(NotFound, match="pull access denied for nowhere"):
        site.build("FROM nowhere\nRUN x")
    assert site.runner.processes == []


def test_a_dockerfile_of_from_alone_is_its_base_image(site: Site) -> None:
    base = site.build("FROM scratch\nCMD x", tags=("base",))
    site.images.tag(base.id, "base")
    assert site.build("FROM base", tags=("other",)).id == base.id
    assert site.images.resolve("other").id == base.id
    assert site.build("FROM base", labels={"a": "b"}).id != base.id


def test_labels_of_the_request_are_in_the_image_and_not_in_the_key(mysite: Site) -> None:
    mysite.build(SITE)
    image = mysite.build(SITE, labels={"one": "1"})
    assert image.config.labels == {"maintainer": "me", "one": "1"}
    assert all(cached(mysite, SITE, labels={"one": "2"}))


def test_row_54_cve_2026_33747_no_front_end_is_taken_from_elsewhere(site: Site) -> None:
    """A front end named by the file is a program of its author's: ours is built in."""
    site.write("index.html", "hello")
    for text in ("# syntax=evil.example/front:1\nFROM scratch\nCOPY index.html /",):
        assert site.build(text, build_args={"BUILDKIT_SYNTAX": "evil.example/front:1"}).id
    assert [image.tags for image in site.images.list(all=True)] == [()]


def test_an_invalid_tag_is_refused_before_anything_is_done(site: Site) -> None:
    with pytest.raises(InvalidInput):
        site.build("FROM scratch\nRUN x", tags=("UPPER",))
    assert site.runner.processes == []


# --- the cache ---------------------------------------------------------------------------------


def test_the_same_build_again_is_all_cached_and_the_same_image(mysite: Site) -> None:
    first = mysite.build(SITE)
    again = mysite.build(SITE)
    assert again.id == first.id
    assert cached(mysite, SITE) == [True] * 5
    assert len(mysite.runner.processes) == 1
    assert len(mysite.images.list(all=True)) == 1


def test_an_all_cached_build_writes_nothing(mysite: Site) -> None:
    mysite.build(SITE, tags=("mysite",))
    before = mysite.database.rows("PRAGMA data_version"), mysite.area.database.stat().st_mtime_ns
    changes = mysite.database.rows("SELECT total_changes()")
    mysite.build(SITE, tags=("mysite",))
    assert mysite.database.rows("SELECT total_changes()") == changes
    after = mysite.database.rows("PRAGMA data_version"), mysite.area.database.stat().st_mtime_ns
    assert after == before


def test_a_changed_file_is_named_and_later_steps_are_done_anew(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.write("index.html", "changed")
    steps = mysite.steps(SITE)
    assert [step.cached for step in steps] == [True, True, False, False, False]
    assert steps[2].reason == "changed: index.html"
    assert steps[3].reason == "step 3 was built anew"


def test_new_and_removed_files_are_named(site: Site) -> None:
    site.write("d/a")
    site.write("d/b")
    dockerfile = "FROM scratch\nCOPY d /"
    site.build(dockerfile)
    (site.context / "d/a").unlink()
    site.write("d/c")
    assert reasons(site, dockerfile)[1] == "new: d/c; gone: d/a"


def test_a_touched_file_is_no_change_but_a_changed_mode_is(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.write("index.html", "hello")  # the same contents, a new time
    assert all(cached(mysite, SITE))
    (mysite.context / "index.html").chmod(0o600)
    assert cached(mysite, SITE)[2] is False


def test_an_ignored_file_is_no_change(mysite: Site) -> None:
    mysite.write(".dockerignore", "*.log\n.dockerignore\n")
    dockerfile = "FROM scratch\nCOPY . /"
    mysite.build(dockerfile)
    mysite.write("build.log", "noise")
    assert all(cached(mysite, dockerfile))


def test_a_changed_instruction_is_told(mysite: Site) -> None:
    mysite.build(SITE)
    changed = SITE.replace("RUN touch", "RUN touch again")
    assert cached(mysite, changed) == [True, True, True, False, False]
    assert reasons(mysite, SITE.replace("RUN touch", "RUN other"))[3] == "changed: the command"


def test_no_cache_does_everything_and_says_so(mysite: Site) -> None:
    mysite.build(SITE)
    steps = mysite.steps(SITE, no_cache=True)
    assert [step.cached for step in steps] == [True, False, False, False, False]
    assert steps[1].reason == "--no-cache"
    assert len(mysite.runner.processes) == 2


def test_the_steps_of_some_stages_may_be_done_anew(mysite: Site) -> None:
    text = (
        SITE.replace("FROM scratch", "FROM scratch AS one")
        + "FROM scratch\nCOPY --from=one /made /"
    )
    mysite.build(text)
    found = reasons(mysite, text, no_cache_stages=("one",))
    assert found == ["", "--no-cache", "--no-cache", "--no-cache", "--no-cache", "", ""]
    with pytest.raises(InvalidInput, match='no-cache-filter stage "tow" could not be found'):
        mysite.build(text, no_cache_stages=("tow",))


def test_an_argument_in_scope_belongs_to_the_key_of_a_run(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nARG WHO=me\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, build_args={"WHO": "me"}))
    assert cached(mysite, dockerfile, build_args={"WHO": "you"}) == [True, True, True, False]


def test_an_undeclared_or_proxy_argument_does_not(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, build_args={"OTHER": "x"}))
    assert all(cached(mysite, dockerfile, build_args={"http_proxy": "http://proxy"}))
    assert cached(mysite, dockerfile, build_args={"http_proxy": "p"}, no_cache=True)[2] is False
    assert "http_proxy=p" in mysite.runner.processes[-1].env


def test_the_requests_network_does_not_but_the_instructions_does(mysite: Site) -> None:
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch"
    mysite.build(dockerfile)
    assert all(cached(mysite, dockerfile, network="host"))
    changed = dockerfile.replace("RUN", "RUN --network=none")
    assert cached(mysite, changed) == [True, True, False]


def test_cve_2024_24557_the_base_image_belongs_to_every_key(site: Site) -> None:
    for name in ("one", "two"):
        site.images.tag(site.build(f"FROM scratch\nLABEL n={name}").id, name)
    site.build("FROM one\nCMD x")
    assert cached(site, "FROM two\nCMD x") == [True, False]


def test_a_result_whose_layer_is_gone_is_made_again(mysite: Site) -> None:
    mysite.build(SITE)
    forget_layers(mysite, "parent != ''")
    steps = mysite.steps(SITE)
    assert [step.cached for step in steps] == [True, True, True, False, False]
    assert steps[3].reason == "the layer it made is no longer there"


def test_a_layer_that_stands_on_others_is_not_taken(mysite: Site) -> None:
    mysite.build(SITE)
    # as after two builds of this file at the same time, each with its own RUN layer
    row = mysite.database.row(
        "SELECT key, facts FROM build_cache WHERE chain_id = "
        "(SELECT chain_id FROM layers WHERE parent != '')"
    )
    assert row is not None
    facts = json.loads(row[1]) | {"diff_id": "sha256:" + "0" * 64}
    with mysite.database.transaction() as connection:
        connection.execute(
            "UPDATE build_cache SET facts = ? WHERE key = ?", (json.dumps(facts), row[0])
        )
    assert reasons(mysite, SITE)[3] == "the layers below it were made anew"


def test_steps_before_a_failing_one_are_known_next_time(mysite: Site) -> None:
    mysite.runner.commands["fail"] = lambda _: 3
    dockerfile = "FROM scratch\nCOPY . /\nRUN touch\nENV A=1\nRUN fail"
    with pytest.raises(ProcessFailed):
        mysite.build(dockerfile)
    mysite.runner.commands["fail"] = lambda _: 0
    assert cached(mysite, dockerfile) == [True, True, True, True, False]


def test_pruning_forgets_results_and_frees_layers_that_no_image_has(mysite: Site) -> None:
    mysite.build(SITE)
    mysite.runner.commands["fail"] = lambda _: 1
    mysite.write("orphan", "12345")
    with pytest.raises(ProcessFailed):
        mysite.build("FROM scratch\nCOPY orphan /\nRUN fail")
    assert mysite.builder.prune_cache() == 5
    assert cached(mysite, SITE) == [True, False, False, False, False]


def test_what_was_used_longest_ago_goes_first(site: Site) -> None:
    text = "FROM scratch\n" + "".join(
        f"COPY <<EOF /{name}\n{'x' * 99}\nEOF\n" for name in ("a", "b", "c")
    )
    site.images.remove(site.build(text).id, force=True, used_by={}, alive=set())
    rows = site.database.rows("SELECT key FROM build_cache JOIN layers USING (chain_id) "
                              "ORDER BY layers.created")  # fmt: skip
    with site.database.transaction() as connection:
        for used, (key,) in enumerate(reversed(rows)):
            connection.execute("UPDATE build_cache SET used = ? WHERE key = ?", (used, key))
    assert site.builder.prune_cache(bounds=CacheBounds(reserved=250)) == 100
    assert [step.cached for step in site.steps(text)] == [True, True, True, False]


# --- failures ----------------------------------------------------------------------------------


def test_a_failing_run_names_file_line_command_and_code(mysite: Site) -> None:
    mysite.runner.commands["false"] = lambda _: 1
    with pytest.raises(ProcessFailed) as failure:
        mysite.build("FROM scratch\nCOPY . /\n\nRUN false")
    assert str(failure.value) == (
        'Dockerfile:4: process "/bin/sh -c false" did not complete successfully: exit code: 1'
    )
    assert failure.value.exit_code == 1
    assert mysite.images.list(all=True) == ()


def test_a_command_that_cannot_start_keeps_its_exit_code(mysite: Site) -> None:
    def missing(process: StepProcess) -> int:
        raise StartFailed("exec: nothing: not found", exit_code=127)

    mysite.runner.commands["nothing"] = missing
    with pytest.raises(StartFailed, match=r"^Dockerfile:3: exec: nothing") as failure:
        mysite.build('FROM scratch\nCOPY . /\nRUN ["nothing"]')
    assert failure.value.exit_code == 127


def test_run_on_nothing_is_refused_by_line(site: Site) -> None:
    with pytest.raises(InvalidInput, match="Dockerfile:2: RUN has nothing to run in"):
        site.build("FROM scratch\nRUN x")


def test_a_missing_source_is_not_found_by_line(site: Site) -> None:
    with pytest.raises(NotFound) as failure:
        site.build("FROM scratch\nCOPY nothing /")
    assert failure.value.message == (
        "Dockerfile:2: COPY failed: file not found in build context or excluded by "
        ".dockerignore: stat nothing: file does not exist"
    )


def test_all_errors_of_the_file_come_before_any_effect(site: Site) -> None:
    with pytest.raises(DockerfileError) as failure:
        site.build("FROM pullable\nCOPPY a b\nRUN\n")
    assert [problem.line for problem in failure.value.problems] == [2, 3]
    assert site.images.list(all=True) == ()


def test_closing_a_build_early_ends_the_process_and_leaves_nothing(mysite: Site) -> None:
    request = BuildRequest(
        dockerfile="FROM scratch\nCOPY . /\nRUN touch", context=str(mysite.context)
    )
    build = mysite.builder.build(request)
    assert isinstance(build, Generator)
    for event in build:
        if isinstance(event, StepOutput):
            break
    build.close()
    assert mysite.runner.closed == 1
    assert list(mysite.area.scratch.glob("build-*")) == []


def test_what_a_killed_build_left_is_removed_by_the_next(mysite: Site) -> None:
    import os

    left = mysite.area.scratch / "build-left"
    (left / "1/upper").mkdir(parents=True)
    os.utime(left, (1, 1))
    mysite.build(SITE)
    assert not left.exists()


# --- several stages ----------------------------------------------------------------------------


def test_only_the_stages_that_the_target_needs_are_built(mysite: Site) -> None:
    dockerfile = (
        "FROM scratch AS base\nCOPY . /\nFROM base AS unused\nRUN unused\n"
        "FROM base AS build\nRUN touch\nFROM scratch\nCOPY --from=build /made /out/\n"
    )
    image = mysite.build(dockerfile)
    assert [one.argv[-1] for one in mysite.runner.processes] == ["touch"]
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
    assert cached(mysite, dockerfile) == [True, False, False, True, True]


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
    assert [step.cached for step in steps] == [True, False, False, True, False, False]


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
    found = [mysite.layer(image, number) for number in (-3, -2)]
    assert (found[0] / "from-stage").read_text() == "stage\n"
    assert (found[1] / "from-image").read_text() == "image\n"


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


# --- heredocs and WORKDIR ----------------------------------------------------------------------


def test_a_heredoc_is_the_shells_input_a_script_or_a_part_of_a_command(mysite: Site) -> None:
    seen: dict[str, str] = {}

    def script(process: StepProcess) -> None:
        path = Path(process.upper + process.argv[0])
        seen["script"] = path.read_text()
        assert path.stat().st_mode & 0o111

    mysite.runner.commands["/.dockmagic-script-EOF"] = script
    image = mysite.build(
        "FROM scratch\nCOPY . /\n"
        "RUN <<EOF\necho $HOME\nEOF\n"
        "RUN <<-EOF\n\t#!/bin/cat\n\tx\n\tEOF\n"
        "RUN cat <<A <<'B'\na\nA\nb\nB\n"
        "RUN <<A cat > /made\na\nA\n"
    )
    argv = [process.argv for process in mysite.runner.processes]
    assert argv == [
        ("/bin/sh", "-c", "echo $HOME\n"),
        ("/.dockmagic-script-EOF",),
        ("/bin/sh", "-c", "cat <<A <<'B'\na\nA\nb\nB"),
        ("/bin/sh", "-c", "<<A cat > /made\na\nA"),
    ]
    assert seen["script"] == "#!/bin/cat\nx\n"
    assert list(mysite.layer(image, 2).iterdir()) == []


def test_a_copied_heredoc_is_a_file_with_variables_expanded_unless_quoted(site: Site) -> None:
    image = site.build(
        "FROM scratch\nENV WHO=you\nCOPY <<one <<'two' /d/\nhello $WHO\none\n$WHO\ntwo\n"
        "COPY --chmod=755 <<EOF /bin/run\n#!/bin/sh\nEOF\n"
    )
    assert (site.layer(image, 0) / "d/one").read_text() == "hello you\n"
    assert (site.layer(image, 0) / "d/two").read_text() == "$WHO\n"
    assert (site.layer(image, 1) / "bin/run").stat().st_mode & 0o7777 == 0o755


def test_a_changed_heredoc_is_a_changed_instruction(site: Site) -> None:
    site.build("FROM scratch\nCOPY <<EOF /a\n1\nEOF\n")
    assert cached(site, "FROM scratch\nCOPY <<EOF /a\n2\nEOF\n") == [True, False]


def test_workdir_makes_a_layer_only_when_the_directory_is_missing(site: Site) -> None:
    site.write("app/file")
    image = site.build("FROM scratch\nCOPY . /\nWORKDIR /app\nWORKDIR new/deep")
    assert image.config.working_dir == "/app/new/deep"
    assert [row.empty_layer for row in image.history] == [False, True, False]
    assert (site.layer(image) / "app/new/deep").is_dir()
