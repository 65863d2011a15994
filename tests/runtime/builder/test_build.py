"""Whole builds: events, images and failures. The overlays and the layers are real."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from dockmagic_runtime.builder.interfaces import StepProcess
from dockmagic_runtime.dockerfile import DockerfileError
from dockmagic_runtime.errors import InvalidInput, NotFound, ProcessFailed, StartFailed
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildRequest,
    BuildStarted,
    StepOutput,
    StepStarted,
    StepStatus,
)

from .conftest import SITE, Site, cached

pytestmark = pytest.mark.root


# --- events and images -------------------------------------------------------------------------


def test_a_build_tells_all_it_does(mysite: Site) -> None:
    events = mysite.events(SITE, tags=("mysite",))
    (plan,) = (event for event in events if isinstance(event, BuildStarted))
    assert (plan.steps, plan.stages) == (5, 1)
    started = [event for event in events if isinstance(event, StepStarted)]
    assert [(event.number, event.name, event.line) for event in started] == [
        (1, "[internal] load build definition from Dockerfile", 0),
        (2, "[internal] load .dockerignore", 0),
        (3, "[internal] load build context", 0),
        (4, "[1/2] COPY index.html /htdocs/", 3),
        (5, "[2/2] RUN touch", 4),
        (6, "exporting to image", 0),
    ]
    assert StepOutput(number=5, stream="stdout", data=b"running touch\n") in events
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
        ("COPY index.html /htdocs/ # buildkit", False),
        ("RUN /bin/sh -c touch # buildkit", False),
        ('CMD ["httpd"]', True),
    ]
    assert {row["comment"] for row in document["history"]} == {"buildkit.dockerfile.v0"}
    layers = [row for row in document["history"] if not row.get("empty_layer")]
    assert len(layers) == len(document["rootfs"]["diff_ids"])
    assert document["created"] == document["history"][-1]["created"]


@pytest.mark.parametrize(
    ("line", "created_by"),
    [
        ("ENV A=1 B='x y'", "ENV A=1 B=x y"),
        ("ENV C old style", "ENV C=old style"),
        ("ARG V=1", "ARG V=1"),
        ("EXPOSE 80 81/udp", "EXPOSE [80/tcp 81/udp]"),
        ("CMD echo x", 'CMD ["/bin/sh" "-c" "echo x"]'),
        ('ENTRYPOINT ["a", "b"]', 'ENTRYPOINT ["a" "b"]'),
        ("VOLUME /v /w", "VOLUME [/v /w]"),
        ('SHELL ["/bin/ash", "-c"]', "SHELL [/bin/ash -c]"),
        ("STOPSIGNAL 9", "STOPSIGNAL 9"),
        ("USER 1:2", "USER 1:2"),
        ("WORKDIR w", "WORKDIR /w"),
        ("HEALTHCHECK NONE", """HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\\x00'}"""),
        ("COPY --chown=1:2 --chmod=700 f /d/", "COPY --chown=1:2 --chmod=700 f /d/ # buildkit"),
        ("COPY --link --from=s /f /d/", "COPY /f /d/ # buildkit"),
        ("COPY <<EOF /doc\ntext\nEOF", "COPY <<EOF /doc # buildkit"),
        ("ADD f /d", "ADD f /d # buildkit"),
        ('RUN ["touch"]', "RUN touch # buildkit"),
        ("RUN --network=none touch", "RUN /bin/sh -c touch # buildkit"),
        ("ARG V=1\nARG W\nRUN touch", "RUN |2 V=1 W= /bin/sh -c touch # buildkit"),
    ],
)
def test_builder_16_history_is_in_buildkits_words(site: Site, line: str, created_by: str) -> None:
    site.write("f")
    text = f"FROM scratch AS s\nCOPY f /\nFROM scratch\nCOPY f /\n{line}\n"
    row = site.document(text)["history"][-1]
    assert (row["created_by"], row["comment"]) == (created_by, "buildkit.dockerfile.v0")


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
    assert [process.network for process in mysite.runner.processes] == ["none", "host", "host"]


def test_the_base_image_is_pulled_when_it_is_missing(site: Site) -> None:
    events = site.events("FROM pullable\nCMD x")
    pulling = StepStatus(number=2, id="Pulling", done=True, is_note=True)
    name = "[internal] load metadata for docker.io/library/pullable:latest"
    step = events[events.index(pulling) - 1]
    assert isinstance(step, StepStarted)
    assert (step.number, step.name) == (2, name)
    assert pulling not in site.events("FROM pullable\nCMD x")
    assert pulling in site.events("FROM pullable\nCMD x", pull=True)


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
    assert list(mysite.data_root.scratch.glob("build-*")) == []


def test_what_a_killed_build_left_is_removed_by_the_next(
    mysite: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockmagic_runtime.store.scratch._YOUNG", -1.0)
    left = mysite.data_root.scratch / "build-left.held"
    (left / "1/upper").mkdir(parents=True)
    mysite.build(SITE)
    assert not left.exists()


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
    assert cached(site, "FROM scratch\nCOPY <<EOF /a\n2\nEOF\n") == [False]


def test_workdir_makes_a_layer_only_when_the_directory_is_missing(site: Site) -> None:
    site.write("app/file")
    image = site.build("FROM scratch\nCOPY . /\nWORKDIR /app\nWORKDIR new/deep")
    assert image.config.working_dir == "/app/new/deep"
    assert [row.empty_layer for row in image.history] == [False, True, False]
    assert (site.layer(image) / "app/new/deep").is_dir()
