"""Images whose files and configuration aim at the host: links, FIFOs and volumes in odd places."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount

from .conftest import Build, Ended, collect

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(120)]

Image = Callable[..., str]
PTMX = {"/dev/pts/ptmx": "ln -s /dev/ptmx"}  # the host's, to whatever follows it there


@pytest.fixture
def image(build: Build) -> Image:
    """`image("VOLUME /dev", **{"/dev/console": "ln -s /x"})`: busybox with files where mounts go.

    A step's command makes each path elsewhere, since something is mounted there during the step.
    """

    def make(instructions: str = "", **files: str) -> str:
        commands = " && ".join(
            f"mkdir -p $(dirname /out{path}) && {command} /out{path}"
            for path, command in files.items()
        )
        return build(
            f"FROM busybox AS files\nRUN mkdir -p /out && {commands or 'true'}\n"
            "FROM scratch\nCOPY --from=busybox /bin /bin\nCOPY --from=files /out/ /\n"
            f"{instructions}\n"
        )

    return make


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host that nothing may be made, changed or read in."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "keep").write_text("x")
    return path


def listing(directory: Path) -> list[tuple[str, int, int]]:
    return sorted((e.name, e.stat().st_mode, e.stat().st_mtime_ns) for e in os.scandir(directory))


def terminal(engine: Engine, image: str, script: str = "tty; readlink /proc/self/fd/0") -> Ended:
    return collect(
        engine.containers.run(
            ContainerSpec(image=image, command=("sh", "-c", script), tty=True, auto_remove=True)
        )
    )


# ---------------------------------------------------------------------- security 10: terminals


def test_security_10_row5_a_console_that_is_a_link_makes_nothing_on_the_host(
    engine: Engine, image: Image, outside: Path
) -> None:
    name = image("VOLUME /dev", **{"/dev/console": f"ln -s {outside}/made", **PTMX})
    with pytest.raises(StartFailed, match="/dev/console is behind a link"):
        terminal(engine, name)
    assert sorted(os.listdir(outside)) == ["keep"]


def test_security_10_row5_a_console_that_is_a_fifo_of_the_host_does_not_hang(
    engine: Engine, image: Image, outside: Path
) -> None:
    os.mkfifo(outside / "fifo")
    name = image("VOLUME /dev", **{"/dev/console": f"ln -s {outside}/fifo", **PTMX})
    with pytest.raises(StartFailed, match="/dev/console is behind a link"):
        terminal(engine, name)


def test_security_10_a_console_that_is_a_fifo_is_covered_and_never_opened(
    engine: Engine, image: Image
) -> None:
    name = image("VOLUME /dev", **{"/dev/console": "mkfifo", **PTMX})
    script = "stat -c %F /dev/console"
    assert terminal(engine, name, script).stdout == "character special file\r\n"


@pytest.mark.parametrize("target", ["/dev/ptmx", "file", "fifo"])
def test_security_10_row7_a_ptmx_of_the_image_is_never_opened(
    engine: Engine, image: Image, outside: Path, target: str
) -> None:
    if target == "fifo":
        os.mkfifo(outside / "fifo")
    else:
        (outside / "file").write_text("x")
    before = listing(outside)
    link = target if target.startswith("/") else f"{outside}/{target}"
    pts = len(os.listdir("/dev/pts"))
    name = image("VOLUME /dev", **{"/dev/pts/ptmx": f"ln -s {link}"})
    ended = terminal(engine, name, "stat -c %t /proc/self/fd/0 -L; sleep 0")
    assert ended.stdout == "88\r\n"  # major 136, a slave of a devpts
    assert listing(outside) == before
    assert len(os.listdir("/dev/pts")) == pts


def test_security_10_a_console_that_is_a_directory_is_one_clear_line(
    engine: Engine, image: Image
) -> None:
    name = image("VOLUME /dev", **{"/dev/console/x": "touch", **PTMX})
    with pytest.raises(StartFailed, match="/dev/console is a directory"):
        terminal(engine, name)


def test_security_10_row5_two_containers_that_share_dev_have_terminals_of_their_own(
    engine: Engine, image: Image
) -> None:
    name = image("VOLUME /dev")
    mount = Mount(kind="volume", source="devices", target="/dev")
    for _ in range(3):
        process = engine.containers.run(
            ContainerSpec(
                image=name,
                command=("sh", "-c", "stat -c %t /dev/console"),
                tty=True,
                auto_remove=True,
                mounts=(mount,),
            )
        )
        assert collect(process).stdout == "88\r\n"
    engine.volumes.remove("devices")


def test_security_10_a_terminal_of_an_exec_is_refused_where_dev_pts_is_no_devpts(
    engine: Engine, image: Image, outside: Path
) -> None:
    (outside / "file").write_text("x")
    name = image("VOLUME /dev", **{"/dev/pts/ptmx": f"ln -s {outside}/file"})
    engine.containers.run(
        ContainerSpec(image=name, command=("sleep", "100"), name="web"), detach=True
    )
    with pytest.raises(DockmagicError, match="not a devpts"):
        engine.containers.exec("web", ExecSpec(command=("true",), tty=True))
