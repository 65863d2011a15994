"""Security 1 (CVE-2019-5736): no container writes to the executable that its processes came from.

The attack: make the kernel execute `/proc/self/exe`, the engine's interpreter, inside the container
with a dynamic loader of the image. That loader opens `/proc/self/exe`, keeps the descriptor, and
opens it for writing by `/proc/self/fd/9` as soon as no process executes the file any more. The
engine here runs on a private copy of the interpreter; after the attack has the descriptor, every
process of the engine is killed, so that nothing protects the copy but the engine's own measures.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.containers.plan import init
from dockmagic_runtime.errors import ProcessFailed
from dockmagic_runtime.model.build import BuildDone, BuildRequest
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, HealthCheck, Mount
from dockmagic_runtime.store.data_root import DataRoot

from .conftest import collect
from .elf import IS_X86_64, loader_that_keeps_its_executable
from .test_lifecycle import supervisor_of
from .waiting import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.network,
    pytest.mark.skipif(not IS_X86_64, reason="optional: the attacker's program is for x86-64"),
]

FD = 9
# changes the file's time, which a file in use would take too, and reports that it has it; then a
# process that outlives the engine tries to write until it may, or is refused for good
ATTACK = f"""
touch /proc/self/fd/{FD} 2>/share/touched
echo $(head -c 4 /proc/self/fd/{FD} | tail -c 3) > /share/opened
while :; do
    if printf PWNED 2>/share/error 1<>/proc/self/fd/{FD}; then echo wrote > /share/end; exit; fi
    if ! grep -q 'Text file busy' /share/error; then cp /share/error /share/end; exit; fi
    sleep 0.02
done &
exec sleep 1000
"""


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this interpreter, from which the engine starts its processes."""
    copy = tmp_path / "bin" / "python3"
    copy.parent.mkdir()
    shutil.copy2(os.path.realpath(sys.executable), copy)
    copy.chmod(0o777)  # so that permissions refuse no user of a container
    monkeypatch.setattr(sys, "executable", str(copy))
    return copy


@pytest.fixture
def victim(interpreter: Path, data_root: DataRoot) -> Iterator[Engine]:
    with Engine(data_root.root) as engine:
        list(engine.images.pull("busybox"))
        yield engine
    with Engine(data_root.root) as engine:
        for container in engine.containers.list(all=True):
            engine.containers.remove(container.id, force=True, volumes=True)
        engine.system.dismantle()


@pytest.fixture
def share(tmp_path: Path) -> Path:
    path = tmp_path / "share"
    path.mkdir()
    return path


@pytest.fixture
def image(victim: Engine, tmp_path: Path) -> str:
    """busybox with the attacker's loader, script and links to /proc/self/exe."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "loader").write_bytes(loader_that_keeps_its_executable(FD, "/attack"))
    (context / "attack").write_text(ATTACK)
    (context / "script").write_text("#!/proc/self/exe\n")
    return build(
        victim,
        "FROM busybox\n"
        "COPY --chmod=755 loader /lib64/ld-linux-x86-64.so.2\n"
        "COPY --chmod=755 attack script /\n"
        "RUN ln -s /proc/self/exe /evil\n",
        context,
    )


def build(engine: Engine, dockerfile: str, context: Path | None = None) -> str:
    request = BuildRequest(dockerfile=dockerfile, context=str(context) if context else None)
    for event in engine.images.build(request):
        if isinstance(event, BuildDone):
            return event.image.id
    raise AssertionError("the build ended without an image")


def spec(image: str, share: Path, **fields: object) -> ContainerSpec:
    mount = Mount(kind="bind", source=str(share), target="/share")
    values = {"name": "web", "command": ("sleep", "1000"), "mounts": (mount,), **fields}
    return ContainerSpec(image=image, **values)  # type: ignore[arg-type]


def by_exec(engine: Engine, image: str, share: Path) -> None:
    engine.containers.run(spec(image, share), detach=True)
    engine.containers.exec("web", ExecSpec(command=("/evil",))).close()


def by_exec_of_a_script(engine: Engine, image: str, share: Path) -> None:
    engine.containers.run(spec(image, share), detach=True)
    engine.containers.exec("web", ExecSpec(command=("/script",))).close()


def by_exec_of_another_user(engine: Engine, image: str, share: Path) -> None:
    share.chmod(0o777)
    engine.containers.run(spec(image, share), detach=True)
    engine.containers.exec("web", ExecSpec(command=("/evil",), user="1000")).close()


def by_entry_point(engine: Engine, image: str, share: Path) -> None:
    engine.containers.run(
        spec(image, share, entrypoint=("/proc/self/exe",), command=("x",)), detach=True
    )


def by_entry_point_that_is_a_script(engine: Engine, image: str, share: Path) -> None:
    engine.containers.run(spec(image, share, command=("/script",)), detach=True)


def by_health_check(engine: Engine, image: str, share: Path) -> None:
    check = HealthCheck(test=("CMD", "/evil"), interval=0.1)
    engine.containers.run(spec(image, share, health=check), detach=True)


def by_ptrace_capability(engine: Engine, image: str, share: Path) -> None:
    """SYS_PTRACE opens the executable of processes that are not dumpable, too."""
    script = f"""
        while ! [ -e /proc/self/fd/{FD} ]; do
            for p in /proc/[0-9]*; do
                case $(readlink $p/exe) in
                    */busybox|'') ;;
                    *) command exec {FD}<$p/exe ;;
                esac
            done
        done
        . /attack
    """
    engine.containers.run(
        spec(image, share, command=("sh", "-c", script), cap_add=("SYS_PTRACE",)), detach=True
    )

    def seen() -> bool:
        engine.containers.exec("web", ExecSpec(command=("true",))).wait()
        return (share / "opened").exists()

    assert eventually(seen)


DOORS: tuple[Callable[[Engine, str, Path], None], ...] = (
    by_exec,
    by_exec_of_a_script,
    by_exec_of_another_user,
    by_entry_point,
    by_entry_point_that_is_a_script,
    by_health_check,
    by_ptrace_capability,
)


def kill_engine(engine: Engine, *names: str) -> None:
    """The launcher and the supervisors: no process executes the interpreter any more."""
    supervisors = [supervisor_of(engine.containers.get(name)) for name in names]
    for pid in (*supervisors, engine._components.launcher.pid):
        os.kill(pid, signal.SIGKILL)


def assert_refused(share: Path, interpreter: Path, before: bytes) -> None:
    """The attack has had the descriptor, and what stopped it is the read-only mount."""
    assert eventually(lambda: (share / "end").exists() and (share / "end").read_text())
    assert "Read-only file system" in (share / "end").read_text()
    assert_reached_but_read_only(share, interpreter, before)


def assert_reached_but_read_only(share: Path, interpreter: Path, before: bytes) -> None:
    assert (share / "opened").read_text() == "ELF\n"
    assert "Read-only file system" in (share / "touched").read_text()
    assert interpreter.read_bytes() == before


@pytest.mark.parametrize("door", DOORS)
def test_security_1_cve_2019_5736_the_interpreter_is_never_writable(
    victim: Engine, image: str, share: Path, interpreter: Path, door: Callable[..., None]
) -> None:
    before = interpreter.read_bytes()
    door(victim, image, share)
    assert eventually((share / "opened").exists)
    kill_engine(victim, "web")
    assert_refused(share, interpreter, before)


def test_security_1_cve_2019_5736_with_a_first_process_of_ours(
    victim: Engine,
    image: str,
    share: Path,
    interpreter: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(init, "find", lambda: "")  # so that a fork of the launcher is pid 1
    before = interpreter.read_bytes()
    victim.containers.run(spec(image, share, command=("/evil",), init=True), detach=True)
    assert eventually((share / "error").exists)  # which is for ever that the file is in use
    assert_reached_but_read_only(share, interpreter, before)


def test_security_1_the_program_of_init_is_read_only(victim: Engine, image: str) -> None:
    if not init.find():
        pytest.skip("optional: this host has no static program for --init")
    # a time, since a file that is executed is refused as busy before its mount is looked at
    script = "for f in /sbin/docker-init /proc/1/exe; do touch $f; done"
    before = Path(init.find()).read_bytes()
    ended = victim.containers.run(
        ContainerSpec(image=image, command=("sh", "-c", script), init=True, auto_remove=True)
    )
    assert collect(ended).stderr.count("Read-only file system") == 2
    assert Path(init.find()).read_bytes() == before


def test_security_1_cve_2019_5736_by_a_step_of_a_build(
    victim: Engine, image: str, share: Path, interpreter: Path
) -> None:
    before = interpreter.read_bytes()
    file = f"/proc/self/fd/{FD}"
    attack = f"touch {file} && exit 1; head -c 4 {file} | grep -q ELF && exit 7"
    (share / "attack").write_text(attack)
    with pytest.raises(ProcessFailed) as raised:
        build(victim, f'FROM {image}\nCOPY attack /attack\nRUN ["/evil"]\n', share)
    assert raised.value.exit_code == 7
    assert interpreter.read_bytes() == before


def test_security_1_cve_2019_5736_across_two_containers(
    victim: Engine, image: str, share: Path, interpreter: Path
) -> None:
    """The second container takes the descriptor from the first, and tries when that has ended."""
    before = interpreter.read_bytes()
    by_exec(victim, image, share)
    assert eventually((share / "opened").exists)
    thief = f"""
        for p in /proc/[0-9]*; do [ -e $p/fd/{FD} ] && exec {FD}<$p/fd/{FD}; done
        . /attack
    """
    (share / "opened").unlink()
    second = spec(image, share, name="thief", command=("sh", "-c", thief), pid_mode="container:web")
    victim.containers.run(second, detach=True)
    assert eventually((share / "opened").exists)
    kill_engine(victim, "web", "thief")
    assert_refused(share, interpreter, before)


def test_security_1_a_launcher_is_on_a_read_only_mount_and_so_is_what_it_forks(
    victim: Engine, interpreter: Path
) -> None:
    victim.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "1000"), name="web"), detach=True
    )
    for pid in (victim._components.launcher.pid, supervisor_of(victim.containers.get("web"))):
        assert os.path.samefile(f"/proc/{pid}/exe", interpreter)
        with pytest.raises(OSError, match="Read-only file system"):
            os.utime(f"/proc/{pid}/exe")  # which a file that is executed would take
