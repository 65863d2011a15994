"""Images whose files and configuration aim at the host: links, FIFOs and volumes in odd places."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount
from dockmagic_runtime.testing.trees import make_member, make_tar

from .conftest import Build, Ended, Run, collect

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


# ---------------------------------------------------------------------- odd configurations


@pytest.fixture
def configured(engine: Engine) -> Callable[..., str]:
    """`configured(WorkingDir="/x")`: busybox with these fields in its config, as a loaded image."""
    saved = io.BytesIO()
    engine.images.save(["busybox"], saved)
    saved.seek(0)
    with tarfile.open(fileobj=saved) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        contents = {path: file.read() for path, file in files.items() if file}
    (entry,) = json.loads(contents["manifest.json"])

    def make(**fields: object) -> str:
        config = json.loads(contents[entry["Config"]])
        config["config"].update(fields)
        changed = entry | {"Config": "config.json", "RepoTags": ["odd:1"]}
        documents = {"manifest.json": [changed], "config.json": config}
        members = {path: contents[path] for path in entry["Layers"]}
        members |= {path: json.dumps(document).encode() for path, document in documents.items()}
        tar = make_tar(*((make_member(path), data) for path, data in members.items()))
        list(engine.images.load(tar))
        return "odd:1"

    return make


# as Docker answered, but that / is refused before anything is mounted on it
VOLUMES = [
    ("/proc", "cannot mount .* on /proc: it is inside /proc"),
    ("/proc/x", "cannot mount .* on /proc/x: it is inside /proc"),
    ("proc/self/cwd", "cannot mount .* on /proc/self/cwd|too many levels|no such file"),
    ("/", "destination can't be '/'"),
    (".", "destination can't be '/'"),
    ("..", "destination can't be '/'"),
    ("", "destination can't be '/'|must not be empty"),
    ("/sys", ""),
    ("/sys/fs/cgroup", ""),
    ("/etc", ""),
    ("/etc/hosts", "cannot mount volume over existing file, file exists /etc/hosts"),
    ("/dev/pts", ""),
    ("/dev/shm", ""),
    ("/../x", ""),
    ("//x", ""),
    ("a/b", ""),
    ("../../a", ""),
    ("/bin", ""),
    ("/a b\nc", ""),
]


@pytest.mark.parametrize(("path", "error"), VOLUMES)
def test_security_10_a_volume_of_an_image_is_mounted_inside_or_refused(
    run: Run, configured: Callable[..., str], path: str, error: str
) -> None:
    image = configured(Volumes={path: {}})
    if error:
        with pytest.raises(DockmagicError, match=f"(?i){error}"):
            run("true", image=image)
    else:
        target = "/" + os.path.normpath("/" + path).lstrip("/")
        script = 'while read -r _ _ _ _ at _; do echo "$at"; done < /proc/self/mountinfo'
        ended = run("sh", "-c", script, image=image)
        assert ended.code == 0
        escaped = target.replace(" ", "\\040").replace("\n", "\\012")
        assert escaped in ended.stdout.splitlines()


WORKING_DIRECTORIES = [
    ("/proc/self/cwd", None),
    ("/proc/1/root/etc", None),
    ("/proc/self/fd/3", None),
    ("/sys/x", None),
    ("/bin/sh", None),
    ("/a/../../b", "/b"),
    ("relative/x", None),
    ("//x", "/x"),
    ("/dev/x", "/dev/x"),
    ("", "/"),
]


@pytest.mark.parametrize(("path", "where"), WORKING_DIRECTORIES)
def test_security_10_a_working_directory_is_inside_or_one_line(
    run: Run, configured: Callable[..., str], path: str, where: str | None
) -> None:
    image = configured(WorkingDir=path)
    if where is not None:
        assert (
            run("sh", "-c", "pwd; ls -d /bin/busybox | grep -c .", image=image).stdout
            == f"{where}\n1\n"
        )
        return
    said = text_of(run, image, "sh", "-c", "pwd; ls -d /bin/busybox")
    assert said.endswith("/bin/busybox\n") or "\n" not in said


def text_of(run: Run, image: str, *command: str) -> str:
    """What the command writes, or why it does not run."""
    try:
        return run(*command, image=image).stdout
    except DockmagicError as error:
        return error.message


USERS = [
    ("-1", "uids and gids must be in range 0-2147483647"),
    ("0:99999999999", "uids and gids must be in range 0-2147483647"),
    ("4294967296", "uids and gids must be in range 0-2147483647"),
    ("nosuch", "unable to find user nosuch: no matching entries in passwd file"),
    ("0:nosuch", "unable to find group nosuch: no matching entries in group file"),
    ("../../etc/passwd", "unable to find user ../../etc/passwd"),
    ("٣", "unable to find user ٣"),
    (":5", "uid=0 gid=5"),
    ("5:", "uid=5 gid=0"),
    ("1000", "uid=1000 gid=0"),
]


@pytest.mark.parametrize(("user", "text"), USERS)
def test_a_user_of_an_image_is_dockers_or_one_line(
    run: Run, configured: Callable[..., str], user: str, text: str
) -> None:
    image = configured(User=user)
    if text.startswith("uid="):
        assert run("id", image=image).stdout.replace("(root)", "").startswith(text)
    else:
        with pytest.raises(DockmagicError) as raised:
            run("id", image=image)
        assert text in raised.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"Env": ["A"]},
        {"Env": ["=x", "", "A=\n\x1b", "PATH="]},
        {"Entrypoint": [""]},
        {"Cmd": ["/"], "Entrypoint": None},
        {"Entrypoint": ["/proc/self/fd/0"]},
        {"Entrypoint": ["/proc/self/fd/9"]},
        {"Entrypoint": ["/proc/1/root/bin/sh"]},
        {"Entrypoint": ["../../bin/sh", "-c", "exit 0"]},
        {"StopSignal": "SIGNOSUCH"},
        {"Healthcheck": {"Test": ["CMD"]}},
        {"Healthcheck": {"Test": ["NOSUCH", "x"]}},
        {"ExposedPorts": {"99999/tcp": {}, "x": {}}},
        {"Labels": {"": "", "a\nb": "\x00"}},
        {"Shell": []},
    ],
)
def test_an_odd_config_runs_or_is_one_clear_line(
    run: Run, configured: Callable[..., str], fields: dict[str, object]
) -> None:
    assert len(text_of(run, configured(**fields), "echo", "hello").splitlines()) <= 1
