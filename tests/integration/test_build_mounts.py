"""`RUN --mount` with real processes: what they see, what is kept, what stays out of the layer."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import InvalidInput, NotFound, ProcessFailed
from dockmagic_runtime.model.build import BuildDone, BuildRequest, StepOutput
from dockmagic_runtime.model.image import Image

from .conftest import instructions_done

pytestmark = [pytest.mark.root, pytest.mark.network]
SECRET = "hunter2-is-the-word"


class Build:
    """One build and its events."""

    def __init__(self, engine: Engine, text: str, context: Path | None = None, **request: object):
        where = None if context is None else str(context)
        build_request = BuildRequest(dockerfile=f"FROM busybox\n{text}", context=where, **request)  # type: ignore[arg-type]
        self.engine = engine
        self.events = list(engine.images.build(build_request))

    @property
    def output(self) -> str:
        data = [event.data for event in self.events if isinstance(event, StepOutput)]
        return b"".join(data).decode()

    @property
    def cached(self) -> list[bool]:
        return [event.cached for event in instructions_done(self.events)]

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in instructions_done(self.events)]

    @property
    def image(self) -> Image:
        (done,) = (event for event in self.events if isinstance(event, BuildDone))
        return done.image

    @property
    def files(self) -> list[str]:
        """What the last layer changes."""
        return [
            f"{file.kind} {file.path}"
            for file in self.engine.images.layers(self.image.id)[-1].files
        ]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    return directory


# --- bind --------------------------------------------------------------------------------------


def test_a_bind_shows_the_context_and_leaves_no_trace(engine: Engine, context: Path) -> None:
    (context / "page").write_text("hello")
    built = Build(
        engine,
        "RUN --mount=target=/deep/er/ctx cat /deep/er/ctx/page > /copy;"
        "touch /deep/er/ctx/x 2>/dev/null || echo refused",
        context,
    )
    assert built.output == "refused\n"
    assert built.files == ["A /copy"]


def test_a_bind_of_one_file_is_a_file(engine: Engine, context: Path) -> None:
    (context / "page").write_text("hello")
    built = Build(engine, "RUN --mount=source=page,target=/p/q cat /p/q; touch /made", context)
    assert built.output == "hello"
    assert built.files == ["A /made"]


def test_what_dockerignore_leaves_out_is_not_there(engine: Engine, context: Path) -> None:
    (context / "kept").write_text("x")
    (context / "secret").write_text("x")
    (context / "dir").mkdir()
    (context / "dir" / "kept").write_text("x")
    (context / "dir" / "gone").write_text("x")
    (context / ".dockerignore").write_text("secret\ndir/gone\n.dockerignore\n")
    built = Build(engine, "RUN --mount=target=/c cd /c && find . | sort", context)
    assert built.output.split() == [".", "./dir", "./dir/kept", "./kept"]


def test_what_is_written_to_a_writable_bind_is_thrown_away(engine: Engine, context: Path) -> None:
    (context / "page").write_text("hello")
    text = "RUN --mount=target=/c,rw echo more >> /c/page; touch /c/new; cat /c/page; ls /c"
    built = Build(engine, text, context)
    assert built.output == "hellomore\nnew\npage\n"
    assert sorted(path.name for path in context.iterdir()) == ["page"]
    assert (context / "page").read_text() == "hello"


def test_a_changed_file_of_a_bind_is_a_miss_and_is_named(engine: Engine, context: Path) -> None:
    (context / "page").write_text("hello")
    (context / "other").write_text("hello")
    text = "RUN --mount=source=page,target=/p cat /p"
    assert Build(engine, text, context).cached == [True, False]
    assert Build(engine, text, context).cached == [True, True]
    (context / "other").write_text("changed")
    assert Build(engine, text, context).cached == [True, True]
    (context / "page").write_text("changed")
    built = Build(engine, text, context)
    assert (built.cached, built.reasons[-1]) == ([True, False], "changed: page")


def test_a_missing_source_is_told_by_line(engine: Engine, context: Path) -> None:
    with pytest.raises(NotFound, match=r"^Dockerfile:2: RUN failed: file not found"):
        Build(engine, "RUN --mount=source=nope,target=/p cat /p", context)


def test_stages_images_and_named_contexts_can_be_bound(
    engine: Engine, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "text").write_text("named")
    built = Build(
        engine,
        "RUN echo stage > /told\n"
        "FROM busybox AS last\n"
        "RUN --mount=from=0,target=/s --mount=from=busybox,source=bin,target=/b "
        "--mount=from=docs,target=/d cat /s/told /d/text; test -e /b/sh && echo image",
        context,
        build_contexts={"docs": str(tmp_path / "docs")},
    )
    assert built.output == "stage\nnamedimage\n"


def test_row_26_cve_2024_1753_a_link_as_source_stays_inside(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("x")
    built = Build(
        engine,
        f"RUN ln -s / /x; ln -s {tmp_path} /y; mkdir -p {tmp_path}; touch {tmp_path}/own\n"
        "FROM busybox\n"
        "RUN --mount=from=0,source=/x,target=/m --mount=from=0,source=/y,target=/n "
        "ls /n; test -d /m/bin && echo the stage",
    )
    assert built.output == "own\nthe stage\n"


def test_row_24_cve_2024_23652_a_replaced_mount_point_is_left_alone(
    engine: Engine, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    (victim / "deep").mkdir(parents=True)
    built = Build(
        engine,
        f"RUN --mount=type=tmpfs,target=/a/deep umount /a/deep 2>/dev/null; mv /a /b; "
        f"ln -s {victim} /a; :",
    )
    assert (victim / "deep").is_dir()
    assert "A /a" in built.files


def test_a_mount_point_that_the_step_has_filled_is_kept(engine: Engine) -> None:
    built = Build(engine, "RUN --mount=type=tmpfs,target=/a/b touch /a/mine /a/b/gone")
    assert built.files == ["A /a", "A /a/mine"]


def test_a_directory_that_the_step_has_changed_is_kept(engine: Engine) -> None:
    built = Build(engine, "RUN mkdir /d\nRUN --mount=type=tmpfs,target=/d/t chmod 700 /d")
    assert built.files == ["C /d"]


# --- cache and tmpfs ---------------------------------------------------------------------------


def test_a_cache_outlives_its_build_and_is_in_no_layer(engine: Engine) -> None:
    first = Build(engine, "RUN --mount=type=cache,target=/c,mode=0711,uid=7 touch /c/kept /made")
    assert first.files == ["A /made"]
    second = Build(
        engine,
        "RUN --mount=type=cache,id=/c,target=/x/y,mode=0711,uid=7 ls /x/y; stat -c %a:%u /x/y",
    )
    assert second.output == "kept\n711:7\n"
    assert Build(engine, "RUN --mount=type=cache,target=/z ls /z").output == ""
    assert engine.builds.prune() >= 0
    assert Build(engine, "RUN --mount=type=cache,id=/c,target=/c ls /c").output == ""


def test_a_cache_begins_with_what_it_is_from(engine: Engine) -> None:
    text = (
        "RUN mkdir /seed; echo seed > /seed/file\nFROM busybox\n"
        "RUN --mount=type=cache,from=0,source=seed,target=/c cat /c/file; echo more >> /c/file"
    )
    assert Build(engine, text).output == "seed\n"
    assert Build(engine, f"{text}; :").output == "seed\nmore\n"


def test_row_23_cve_2024_23651_a_link_as_a_caches_source_is_refused(engine: Engine) -> None:
    Build(engine, "RUN --mount=type=cache,id=c,target=/c ln -s / /c/l; mkdir /c/d")
    with pytest.raises(InvalidInput, match="l in the cache is not a directory"):
        Build(engine, "RUN --mount=type=cache,id=c,source=l,target=/m ls /m")
    with pytest.raises(NotFound, match="e does not exist in the cache"):
        Build(engine, "RUN --mount=type=cache,id=c,source=d/e,target=/m ls /m")
    assert Build(engine, "RUN --mount=type=cache,id=c,source=d,target=/m ls /m").output == ""


def test_a_private_cache_is_another_one_while_the_first_is_used(engine: Engine) -> None:
    slow = engine.images.build(
        BuildRequest(
            dockerfile="FROM busybox\nRUN --mount=type=cache,id=c,target=/c touch /c/slow; "
            "echo up; sleep 1000",
            context=None,
        )
    )
    for event in slow:
        if isinstance(event, StepOutput):
            break
    private = "RUN --mount=type=cache,id=c,sharing=private,target=/c ls /c"
    shared = "RUN --mount=type=cache,id=c,target=/c ls /c"
    assert Build(engine, private).output == ""
    assert Build(engine, shared).output == "slow\n"
    slow.close()  # type: ignore[attr-defined]
    assert Build(engine, f"{private}; :").output == "slow\n"


def test_a_locked_cache_is_waited_for(engine: Engine) -> None:
    locked = "RUN --mount=type=cache,id=c,sharing=locked,target=/c "
    first = engine.images.build(
        BuildRequest(
            dockerfile=f"FROM busybox\n{locked}echo up; sleep 0.3; touch /c/done", context=None
        )
    )
    for event in first:
        if isinstance(event, StepOutput):
            break
    outputs: list[str] = []
    second = threading.Thread(target=lambda: outputs.append(Build(engine, f"{locked}ls /c").output))
    second.start()
    list(first)
    second.join()
    assert outputs == ["done\n"]


def test_a_tmpfs_is_there_for_one_step(engine: Engine) -> None:
    built = Build(
        engine, "RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1; touch /t/x /made"
    )
    assert built.output.split()[:2] == ["tmpfs", "1024"]
    assert built.files == ["A /made"]


# --- secrets and agents ------------------------------------------------------------------------


def everything(engine: Engine) -> bytes:
    """All bytes of the Docker area, names too."""
    names_ = []
    for directory, names, files in os.walk(engine.data_root.root):
        names_ += [os.fsencode(name) for name in (*names, *files)]
        for name in files:
            path = Path(directory) / name
            if path.is_file() and not path.is_symlink():
                names_.append(path.read_bytes())
    return b"\0".join(names_)


def test_row_36_a_secret_is_seen_by_its_step_and_found_nowhere(engine: Engine) -> None:
    built = Build(
        engine,
        "RUN --mount=type=secret,id=a --mount=type=secret,id=b,env=WORD --mount=type=secret,"
        "id=a,target=/k,mode=0440,uid=7 wc -c < /run/secrets/a; stat -c %a:%u:%g /run/secrets/a /k;"
        "echo ${#WORD}; (echo x > /k) 2>/dev/null; env | grep -c "
        f"{SECRET[:7]}",
        secrets={"a": SECRET.encode(), "b": SECRET.encode()},
    )
    size = str(len(SECRET))
    assert built.output.split() == [size, "400:0:0", "440:7:0", size, "1"]
    assert SECRET.encode() not in everything(engine)
    assert SECRET not in str(engine.images.history(built.image.id))
    assert SECRET not in str(engine.images.inspect(built.image.id))


def test_a_secret_leaves_no_mount_point_behind(engine: Engine) -> None:
    built = Build(engine, "RUN --mount=type=secret,id=a touch /made", secrets={"a": b"x"})
    assert built.files == ["A /made"]


def test_a_secret_that_is_missing_fails_only_where_it_is_required(engine: Engine) -> None:
    assert Build(engine, "RUN --mount=type=secret,id=a ls /run/secrets 2>&1; :").output
    with pytest.raises(NotFound, match="secret a: not found") as failure:
        Build(engine, "RUN --mount=type=secret,id=a,required cat /run/secrets/a")
    assert "--secret id=a" in failure.value.hint


def test_another_value_of_a_secret_is_no_miss(engine: Engine) -> None:
    text = "RUN --mount=type=secret,id=a wc -c < /run/secrets/a"
    assert Build(engine, text, secrets={"a": b"x"}).cached == [True, False]
    assert Build(engine, text, secrets={"a": b"xx"}).cached == [True, True]


def test_an_agent_is_reached_through_a_socket_of_the_steps_own(
    engine: Engine, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        built = Build(
            engine,
            "RUN --mount=type=ssh,uid=7,mode=0660 "
            "echo $SSH_AUTH_SOCK; stat -c %F:%a:%u $SSH_AUTH_SOCK; touch /made",
            ssh={"default": str(tmp_path / "agent")},
        )
    assert built.output.split("\n")[:2] == ["/run/buildkit/ssh_agent.0", "socket:660:7"]
    assert built.files == ["A /made"]


def test_without_an_agent_a_step_that_requires_one_fails(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="unset ssh forward key default"):
        Build(engine, "RUN --mount=type=ssh,required :")
    with pytest.raises(NotFound, match="no ssh agent listens on"):
        Build(engine, "RUN --mount=type=ssh :", ssh={"default": str(tmp_path / "none")})


# --- privileges and networks -------------------------------------------------------------------


def test_row_25_cve_2024_23653_no_privilege_without_the_callers_word(engine: Engine) -> None:
    text = "RUN --security=insecure grep CapEff /proc/self/status"
    with pytest.raises(InvalidInput, match=r"security\.insecure is not allowed"):
        Build(engine, text)
    own = subprocess.run(["grep", "CapEff", "/proc/self/status"], capture_output=True, check=True)
    assert Build(engine, text, allow=("security.insecure",)).output == own.stdout.decode()


def test_a_run_without_network_has_none(engine: Engine) -> None:
    assert Build(engine, "RUN --network=none ls /sys/class/net").output.split() == ["lo"]
    with pytest.raises(ProcessFailed):
        Build(engine, "RUN --network=none wget -T 1 -q -O - http://192.0.2.1/")


def test_hosts_of_the_request_are_in_etc_hosts(engine: Engine) -> None:
    built = Build(engine, "RUN grep 192.0.2 /etc/hosts", add_hosts=("db:192.0.2.7",))
    assert built.output.split() == ["192.0.2.7", "db"]
