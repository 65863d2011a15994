"""Historic faults of container engines, each tried on ours. The numbers are CVE ids."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError, InvalidInput, StartFailed
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount

from .conftest import Build, Run, collect
from .test_lifecycle import supervisor_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_row1_cve_2019_5736_the_engines_executable_cannot_be_reached(
    engine: Engine, build: Build
) -> None:
    image = build("FROM busybox\nRUN ln -s /proc/self/exe /bin/evil\n")
    before = digest(os.path.realpath(sys.executable))
    spec = ContainerSpec(image=image, command=("sleep", "100"), name="web")
    engine.containers.run(spec, detach=True)
    # whatever the link leads to at that moment, it is not executed: too many links, no permission
    with pytest.raises(StartFailed) as raised:
        engine.containers.exec("web", ExecSpec(command=("/bin/evil", "true")))
    assert raised.value.exit_code in (126, 127)
    script = "for p in /proc/[0-9]*; do (echo x > $p/exe) 2>/dev/null && echo wrote $p; done; true"
    ended = collect(engine.containers.exec("web", ExecSpec(command=("sh", "-c", script))))
    assert "wrote" not in ended.stdout
    assert digest(os.path.realpath(sys.executable)) == before


def test_row2_cve_2024_21626_no_descriptor_is_a_way_out(run: Run) -> None:
    for number in range(3, 64):
        with pytest.raises(StartFailed) as raised:
            run("ls", working_dir=f"/proc/self/fd/{number}")
        assert raised.value.exit_code in (125, 126, 127)


@pytest.mark.parametrize("path", ["/proc/self/fd/{}", "/proc/self/fd/{}/bin/true"])
def test_row2_no_descriptor_of_ours_is_open_when_the_program_is_looked_up(
    engine: Engine, path: str
) -> None:
    """But for one socket, over which the failure is reported."""
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="web"), detach=True
    )
    messages = []
    for number in range(3, 64):
        with pytest.raises(StartFailed) as raised:
            engine.containers.exec("web", ExecSpec(command=(path.format(number),)))
        messages.append(raised.value.message)
    reached = [message for message in messages if "no such file" not in message]
    assert len(reached) <= 1, reached


def test_row3_a_container_has_exactly_three_descriptors(run: Run) -> None:
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
    for fd in opened:
        os.set_inheritable(fd, True)
    try:
        assert run("ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]  # 3 is ls's own
    finally:
        for fd in opened:
            os.close(fd)


def test_row3_an_exec_has_exactly_three_descriptors(engine: Engine) -> None:
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="web"), detach=True
    )
    ended = collect(engine.containers.exec("web", ExecSpec(command=("ls", "/proc/self/fd"))))
    assert ended.stdout.split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("path", ["/proc", "/sys", "/dev"])
def test_row6_row7_an_image_whose_mount_point_is_a_link_is_refused(
    build: Build, run: Run, tmp_path: Path, path: str
) -> None:
    """CVE-2019-19921, CVE-2026-41579: nothing may be mounted or made where the link leads."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "keep").write_text("x")
    link = build_with_link(build, path, str(victim))
    with pytest.raises(DockmagicError):
        run("true", image=link)
    assert sorted(os.listdir(victim)) == ["keep"]


def build_with_link(build: Build, path: str, target: str) -> str:
    """An image that has a link at `path`, made where nothing is mounted on it."""
    return build(
        "FROM busybox AS made\n"
        f"RUN mkdir -p /out{os.path.dirname(path)} && ln -s {target} /out{path}\n"
        "FROM scratch\n"
        "COPY --from=busybox /bin /bin\n"
        "COPY --from=made /out/ /\n"
    )


def test_row9_cve_2024_45310_a_missing_mount_point_is_made_inside(
    build: Build, run: Run, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    image = build(f"FROM busybox\nRUN ln -s {outside} /a\n")
    source = tmp_path / "source"
    source.mkdir()
    mount = Mount(kind="bind", source=str(source), target="/a/b")
    assert run("true", image=image, mounts=(mount,)).code == 0
    assert os.listdir(outside) == []


def test_row6_nothing_is_mounted_inside_proc(run: Run, build: Build, tmp_path: Path) -> None:
    image = build("FROM busybox\nRUN ln -s /proc /link\n")
    for target in ("/proc", "/proc/sys", "/bin/../proc/sys", "/link", "/link/sys"):
        with pytest.raises(DockmagicError, match="/proc"):
            run(
                "true",
                image=image,
                mounts=(Mount(kind="bind", source=str(tmp_path), target=target),),
            )


def test_row10_row11_cgroups_are_read_only_and_cannot_be_mounted(run: Run) -> None:
    """CVE-2023-25809, CVE-2022-0492."""
    script = "for tree in $(find /sys/fs/cgroup -name cgroup.procs); do mkdir ${tree%/*}/x; done"
    ended = run("sh", "-c", f"{script}; unshare -m true")
    refusals = ended.stderr.splitlines()[:-1]
    assert refusals
    assert all(line.endswith("Read-only file system") for line in refusals)
    assert "Operation not permitted" in ended.stderr


def test_row12_cve_2022_29162_nothing_is_inheritable(run: Run) -> None:
    status = dict(
        line.split(":\t") for line in run("grep", "Cap", "/proc/self/status").stdout.splitlines()
    )
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0xA80425FB  # Docker's 14


def test_another_user_has_no_capabilities(run: Run) -> None:
    ended = run("grep", "CapEff", "/proc/self/status", user="1000")
    assert ended.stdout.split()[1] == "0" * 16


def test_row14_cve_2024_40635_a_uid_does_not_wrap_to_root(run: Run) -> None:
    with pytest.raises(InvalidInput, match="must be in range"):
        run("id", user="4294967296")


def test_row13_cve_2022_36109_groups_are_the_given_ones_only(run: Run) -> None:
    assert run("id", user="1000:1000").stdout == "uid=1000 gid=1000 groups=1000\n"
    assert run("id", user="1000").stdout == "uid=1000 gid=0(root) groups=0(root)\n"


def test_row15_cve_2020_15257_sockets_of_ours_have_a_path_that_nobody_else_reaches(
    engine: Engine, run: Run
) -> None:
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="web"), detach=True
    )
    container = engine.containers.get("web")
    assert eventually(lambda: (engine.data_root.run / container.id / "sock").exists())
    processes = (supervisor_of(container), engine._components.launcher.pid)

    def paths() -> set[str]:
        """As a container on the host's network sees them."""
        lines = run("cat", "/proc/net/unix", network="host").stdout.splitlines()
        fields = [line.split(maxsplit=7) for line in lines]
        ours = sockets_of(*processes)
        return {field[7] for field in fields if field[6] in ours and len(field) > 7}

    own = f"{engine.data_root.run}/{container.id}/sock"
    assert eventually(lambda: own in paths())  # the start process hands it over
    launcher = Path(engine._components.launcher._launcher.directory)
    assert paths() == {own, f"{launcher}/sock"}
    for directory in (engine.data_root.run, launcher, launcher.parent):
        assert directory.stat().st_mode & 0o777 == 0o700
    tables = run("cat", "/proc/net/tcp", "/proc/net/tcp6", network="host").stdout
    inodes = {line.split()[9] for line in tables.splitlines() if "sl" not in line}
    assert not sockets_of(*processes) & inodes


def sockets_of(*processes: int) -> set[str]:
    """The inodes of all sockets that they hold."""
    links = (os.readlink(fd) for pid in processes for fd in Path(f"/proc/{pid}/fd").iterdir())
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def test_row16_cve_2021_41103_another_user_of_the_host_sees_nothing_of_the_area(
    engine: Engine, run: Run
) -> None:
    run("true")
    for path in (engine.data_root.root, engine.data_root.layers, engine.data_root.run):
        looked = subprocess.run(
            ["ls", path], user=1000, group=1000, extra_groups=[], capture_output=True, check=False
        )
        assert b"Permission denied" in looked.stderr


def test_row43_cve_2021_21284_users_are_not_mapped_and_the_area_is_not_in_reach(
    engine: Engine, run: Run
) -> None:
    """There is no remapped root that the engine's state could belong to."""
    show = "cat /proc/self/uid_map; readlink /proc/self/ns/user"
    uid_map, namespace = run("sh", "-c", show, userns_mode="host").stdout.splitlines()
    assert uid_map.split() == ["0", "0", "4294967295"]
    assert namespace == os.readlink("/proc/self/ns/user")
    ended = run("sh", "-c", f"cat {engine.data_root.database}; ls {engine.data_root.root}")
    assert ended.stderr.count("No such file or directory") == 2


def test_row42_what_tells_about_the_host_is_hidden_or_read_only(run: Run) -> None:
    ended = run(
        "sh",
        "-c",
        "for f in /proc/keys /proc/timer_list; do test -e $f && cat $f; done;"
        "ls -A /sys/firmware /proc/acpi 2>/dev/null | grep -v :;"
        "echo 1 > /proc/sys/kernel/core_pattern; echo x > /proc/irq/default_smp_affinity",
    )
    assert ended.stdout.strip() == ""
    assert ended.stderr.count("Read-only file system") == 2


def test_row42_the_kernels_memory_is_empty_and_its_triggers_are_read_only(run: Run) -> None:
    script = (
        "cd /proc; for f in kcore keys timer_list interrupts; do test ! -e $f || wc -c < $f; done;"
        "for f in sysrq-trigger sys/kernel/panic irq/default_smp_affinity; do"
        " test ! -e $f || (> $f) 2>&1; done"
    )
    lines = run("sh", "-c", script).stdout.splitlines()
    assert lines
    for line in lines:
        assert line == "0" or line.endswith("Read-only file system")
    assert [line for line in lines if line != "0"]


def test_row44_a_device_node_opens_nothing(run: Run) -> None:
    ended = run("sh", "-c", "mknod /sda b 8 0; dd if=/sda count=1; mknod /mem c 1 1; cat /mem")
    assert ended.stderr.count("Operation not permitted") == 2


def test_row45_the_session_keyring_is_fresh(engine: Engine, run: Run) -> None:
    assert run("cat", "/proc/keys").stdout == ""  # masked, whatever it holds
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="web"), detach=True
    )
    steps = [step.name for step in engine.containers.explain("web").steps if step.who == "child"]
    assert steps.index("FreshKeyring") < steps.index("PivotRoot")
    options = ("systempaths=unconfined",)
    seen = run("cat", "/proc/keys", security_opt=options).stdout.splitlines()
    assert [line for line in seen if line.split()[7:] == ["keyring", "_ses:", "empty"]]


def test_row47_no_user_namespace_can_be_made(run: Run) -> None:
    ended = run("unshare", "-U", "true")
    assert ended.code != 0
    assert "Operation not permitted" in ended.stderr


def test_the_host_cannot_be_seen(run: Run) -> None:
    ended = run("sh", "-c", "ls -d /proc/[0-9]* | wc -l; hostname")
    processes, hostname = ended.stdout.split()
    assert int(processes) <= 3
    assert hostname != os.uname().nodename


def test_privileged_lifts_what_docker_lifts(run: Run) -> None:
    ended = run(
        "sh",
        "-c",
        "grep -c . /proc/self/mountinfo; grep Seccomp: /proc/self/status;"
        "mount -t tmpfs none /mnt 2>&1 || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted",
        privileged=True,
    )
    assert "Seccomp:\t0" in ended.stdout
    assert "mounted" in ended.stdout


def test_no_new_privileges(run: Run) -> None:
    options = ("no-new-privileges",)
    ended = run("grep", "NoNewPrivs", "/proc/self/status", security_opt=options)
    assert ended.stdout.split() == ["NoNewPrivs:", "1"]


def test_a_read_only_root_keeps_its_writable_mounts(run: Run) -> None:
    ended = run("sh", "-c", "touch /x; touch /dev/shm/x && echo shm", read_only=True)
    assert "Read-only file system" in ended.stderr
    assert ended.stdout == "shm\n"


def test_row38_cve_2020_13401_ping_needs_no_raw_socket(run: Run) -> None:
    """Every group may open ICMP datagram sockets, so that NET_RAW can be dropped."""
    ended = run("cat", "/proc/sys/net/ipv4/ping_group_range", cap_drop=("NET_RAW",))
    assert ended.stdout.split() == ["0", "2147483647"]


def test_a_user_may_take_a_low_port(run: Run) -> None:
    ended = run("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")
    assert ended.stdout == "0\n"


def test_row4_cve_2025_31133_a_linked_null_device_masks_nothing_of_the_host(
    build: Build, run: Run
) -> None:
    """The masks are bound from a node that we made, never from what the image calls /dev/null."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    before = pattern.read_text()
    image = build_with_link(build, "/dev/null", str(pattern))
    script = "echo evil > /dev/null; echo evil > /proc/timer_list; stat -c %t:%T /dev/null"
    ended = run("sh", "-c", script, image=image)
    assert ended.stdout.split() == ["1:3"]
    assert pattern.read_text() == before


@pytest.mark.parametrize("path", ["/dev/console", "/dev/pts"])
def test_row5_cve_2025_52565_the_console_is_the_containers_own_terminal(
    build: Build, engine: Engine, path: str
) -> None:
    """Opened through its master: no name in the image decides what is bound to it."""
    image = build_with_link(build, path, "/proc/sys/kernel")
    command = ("stat", "-c", "%t", "/dev/console")
    process = engine.containers.run(
        ContainerSpec(image=image, command=command, tty=True, auto_remove=True)
    )
    assert collect(process).stdout.split() == ["88"]  # major 136: a pseudo-terminal


def test_row46_no_terminal_of_the_host_can_be_typed_into(engine: Engine, run: Run) -> None:
    """TIOCSTI reaches a process's controlling terminal: there is none, or the container's own."""
    ended = run("sh", "-c", "exec 3<> /dev/tty && echo opened")
    assert "opened" not in ended.stdout
    assert "No such device or address" in ended.stderr
    command = ("stat", "-L", "-c", "%d", "/proc/self/fd/0")
    process = engine.containers.run(
        ContainerSpec(image="busybox", command=command, tty=True, auto_remove=True)
    )
    assert int(collect(process).stdout) != os.stat("/dev/pts").st_dev
