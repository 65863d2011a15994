"""Builds with real processes: what RUN sees, what it leaves in the layer, how it fails."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import NotFound, ProcessFailed, StartFailed
from dockmagic_runtime.model.build import BuildDone, BuildRequest, StepOutput
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.image import Image

from .conftest import instructions_done

pytestmark = [pytest.mark.root, pytest.mark.network]


def built(engine: Engine, dockerfile: str, context: Path | None = None) -> Image:
    (done,) = (e for e in events(engine, dockerfile, context) if isinstance(e, BuildDone))
    return done.image


def events(engine: Engine, dockerfile: str, context: Path | None = None) -> list[object]:
    where = None if context is None else str(context)
    return list(engine.images.build(BuildRequest(dockerfile=dockerfile, context=where)))


def output(engine: Engine, dockerfile: str) -> str:
    data = [e.data for e in events(engine, dockerfile) if isinstance(e, StepOutput)]
    return b"".join(data).decode()


def top_files(engine: Engine, image: Image) -> list[str]:
    return [f"{file.kind} {file.path}" for file in engine.images.layers(image.id)[-1].files]


def left(engine: Engine) -> list[str]:
    return sorted(path.name for path in engine.data_root.scratch.iterdir())


def test_run_sees_its_environment_directory_and_user(engine: Engine) -> None:
    text = output(
        engine,
        "FROM busybox\nARG A=1\nENV B=2\nWORKDIR /work\nUSER 7:8\nRUN id -u; id -g; pwd; echo $A$B",
    )
    assert text == "7\n8\n/work\n12\n"


def test_run_leaves_only_what_it_wrote(engine: Engine) -> None:
    image = built(
        engine, "FROM busybox\nRUN echo x > /made && rm /bin/vi && touch /dev/gone /proc/x; :"
    )
    assert top_files(engine, image) == ["C /bin", "D /bin/vi", "A /made"]


def test_copy_and_run_stand_on_each_other(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("hello")
    dockerfile = "FROM busybox\nCOPY page /www/\nRUN cat /www/page && echo more >> /www/page"
    image = built(engine, dockerfile, tmp_path)
    assert top_files(engine, image) == ["C /www", "C /www/page"]
    again = [e.cached for e in instructions_done(events(engine, dockerfile, tmp_path))]
    assert again == [True, True, True]
    (tmp_path / "page").write_text("changed")
    steps = instructions_done(events(engine, dockerfile, tmp_path))
    assert [step.cached for step in steps] == [True, False, False]
    assert steps[1].reason == "changed: page"


def test_a_script_runs_as_itself_and_leaves_no_trace(engine: Engine) -> None:
    dockerfile = "FROM busybox\nRUN <<EOF\n#!/bin/sh\necho script > /made\nEOF\n"
    assert top_files(engine, built(engine, dockerfile)) == ["A /made"]


def test_a_failing_run_leaves_nothing(engine: Engine) -> None:
    images = engine.images.list(all=True)
    with pytest.raises(ProcessFailed) as failure:
        built(engine, "FROM busybox\nRUN touch /x && exit 42")
    assert failure.value.message == (
        'Dockerfile:2: process "/bin/sh -c touch /x && exit 42" '
        "did not complete successfully: exit code: 42"
    )
    assert left(engine) == []
    assert engine.images.list(all=True) == images
    assert engine.containers.list(all=True) == ()


def test_what_a_failed_run_left_can_be_entered(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no step of a build has failed"):
        engine.builds.failed()
    text = 'FROM busybox\nARG A=1\nWORKDIR /w\nENTRYPOINT ["x"]\nRUN echo half > done; exit 3'
    with pytest.raises(ProcessFailed):
        built(engine, text)
    image = engine.builds.failed()
    assert image.config.cmd == ("/bin/sh",)
    process = engine.containers.run(
        ContainerSpec(image=image.id, command=("sh", "-c", "cat done; echo $A"), auto_remove=True)
    )
    assert b"".join(data for _, data in process.output()) == b"half\n1\n"
    process.wait()
    engine.builds.prune()
    with pytest.raises(NotFound):
        engine.builds.failed()


def test_a_command_that_is_missing_is_told_by_line(engine: Engine) -> None:
    with pytest.raises(StartFailed, match=r"^Dockerfile:2: .*/nope") as failure:
        built(engine, 'FROM busybox\nRUN ["/nope"]')
    assert failure.value.exit_code == 127
    assert left(engine) == []


def test_an_abandoned_build_ends_its_process(engine: Engine) -> None:
    request = BuildRequest(dockerfile="FROM busybox\nRUN echo up; sleep 1000", context=None)
    build = engine.images.build(request)
    for event in build:
        if isinstance(event, StepOutput):
            break
    build.close()  # type: ignore[attr-defined]
    assert left(engine) == []


def test_copy_does_not_follow_a_link_that_a_run_made(engine: Engine, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_text("x")
    image = built(engine, f"FROM busybox\nRUN ln -s {victim} /out\nCOPY file /out/\n", context)
    assert list(victim.iterdir()) == []
    assert f"A {victim}/file" in top_files(engine, image)


def test_a_failing_stage_ends_what_runs_beside_it(engine: Engine) -> None:
    dockerfile = (
        "FROM busybox AS a\nRUN sleep 0.2; exit 3\nFROM busybox AS b\nRUN sleep 1000\n"
        "FROM busybox\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b"
    )
    with pytest.raises(ProcessFailed, match="exit code: 3"):
        built(engine, dockerfile)
    assert left(engine) == []


def test_stages_run_side_by_side_and_give_one_image(engine: Engine) -> None:
    """Each waits for what the other one writes into a cache that they share."""
    mount = "RUN --mount=type=cache,id=meeting,target=/m "
    wait = "n=0; until [ -e /m/{} ] || [ $n = 200 ]; do n=$((n+1)); sleep 0.05; done; [ -e /m/{} ]"
    dockerfile = (
        f"FROM busybox AS a\n{mount}touch /m/a; {wait.format('b', 'b')}\n"
        f"FROM busybox AS b\n{mount}touch /m/b; {wait.format('a', 'a')}\n"
        "FROM busybox\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b"
    )
    assert top_files(engine, built(engine, dockerfile)) == ["A /b"]


def test_builds_of_several_engines_at_once_give_one_image(engine: Engine, tmp_path: Path) -> None:
    """They share the cache, and may do the same step at the same time."""
    (tmp_path / "file").write_text("x")
    text = (
        "FROM busybox AS a\nRUN sleep 0.1; echo a > /a\nFROM busybox\n"
        "COPY --from=a /a /\nCOPY file /\nRUN sleep 0.1; cat /a /file > /both\n"
    )
    request = BuildRequest(dockerfile=text, context=str(tmp_path), tags=("both",),
                        build_args={"SOURCE_DATE_EPOCH": "1700000000"})  # fmt: skip
    outputs: list[str] = []

    def build() -> None:
        with Engine(engine.data_root.root) as other:
            outputs.extend(
                e.image.id for e in other.images.build(request) if isinstance(e, BuildDone)
            )

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outputs) == 3
    assert len(set(outputs)) == 1
    assert engine.images.get("both").id == outputs[0]
    steps = instructions_done(engine.images.build(request))
    assert all(step.cached for step in steps)
