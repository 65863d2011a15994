"""Security 2: no flag of `run` changes the host outside of names of ours."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec

from .test_run_flags import INSPECTED, SEEN, expanded

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(300)]

# counters and random numbers, and what belongs to an interface, which others make meanwhile
_ITS_OWN = re.compile(
    r"fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|binfmt_misc/.*|quota/.*)"
    r"|kernel/(random/.*|ns_last_pid|pty/nr|perf_.*|sched_domain/.*|tainted)"
    r"|kernel/keys/.*"
    r"|net/.*(conf|neigh)/(?!all/|default/|lo/).*"
    r"|net/netfilter/nf_conntrack_(count|buckets|max)|net/nf_conntrack_max"
    r"|net/ipv[46]/route/flush|vm/stat_refresh|vm/compact_memory|vm/drop_caches"
)
_TOP = Path("/proc/sys")


def host_settings() -> dict[str, bytes]:
    """Every readable file of /proc/sys that does not change by itself."""
    values = {}
    for directory, _, names in os.walk(_TOP):
        for name in names:
            path = Path(directory, name)
            key = str(path.relative_to(_TOP))
            if not _ITS_OWN.fullmatch(key):
                try:
                    values[key] = path.read_bytes()
                except OSError:
                    continue  # to be written only, or of an interface that has gone
    return values


def changed(before: dict[str, bytes]) -> dict[str, tuple[bytes, bytes]]:
    now = host_settings()
    return {
        key: (before[key], now[key])
        for key in before.keys() & now.keys()
        if before[key] != now[key]
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "place"
    directory.mkdir()
    (directory / "env").write_text("FROM_FILE=yes\n")
    return directory


@pytest.fixture
def session(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    # the first container of a bridge lets this host forward packets, as with Docker
    engine.containers.run(
        ContainerSpec(image="busybox", command=("true",), auto_remove=True)
    ).wait()
    session = Session()
    session.use(engine)
    with open("/dev/null") as nothing:  # for -i
        monkeypatch.setattr(sys, "stdin", nothing)
        yield session


def test_security_2_no_flag_changes_a_setting_of_the_host(
    engine: Engine, session: Session, place: Path
) -> None:
    before = host_settings()
    rows = {row[0]: None for row in (*SEEN, *INSPECTED)}
    for flags in rows:
        given = shlex.split(expanded(flags, engine, place).replace("{dir}", str(place)))
        for mode in ((), ("--network", "host"), ("--ipc", "host"), ("--uts", "host")):
            main(["run", "--rm", *given, *mode, "busybox", "true"], session)
        assert changed(before) == {}, flags
    engine._components.cgroups.prune(f"{engine.data_root.cgroup_parent}-flag")


ATTACKS = [
    "--network host --sysctl net.ipv4.ip_default_ttl=65",
    "--network container:other --sysctl net.ipv4.ip_default_ttl=65",
    "--ipc host --sysctl kernel.shmmax=100000",
    "--ipc container:other --sysctl kernel.sem='1 1 1 1'",
    "--ipc host --sysctl fs.mqueue.msg_max=11",
    "--sysctl vm.swappiness=1",
    "--sysctl kernel.core_pattern=x",
    "--sysctl net.ipv4/../../vm/swappiness=1",
    "--uts host --sysctl kernel.domainname=x",
]


@pytest.mark.parametrize("flags", ATTACKS)
def test_security_2_command_line_1_a_sysctl_of_others_is_refused_with_125(
    engine: Engine, session: Session, flags: str
) -> None:
    other = ContainerSpec(
        image="busybox", command=("sleep", "100"), name="other", ipc_mode="shareable"
    )
    engine.containers.run(other, detach=True)
    before = host_settings()
    assert main(["run", "--rm", *shlex.split(flags), "busybox", "true"], session) == 125
    assert changed(before) == {}


def test_command_line_1_the_text_is_dockers(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--network", "host", "--sysctl", "net.ipv4.ip_default_ttl=65"]
    assert main(["run", "--rm", *flags, "busybox", "true"], session) == 125
    error = capfd.readouterr().err
    assert 'sysctl "net.ipv4.ip_default_ttl" not allowed in host network namespace' in error


def test_a_sysctl_that_is_not_there_is_named_with_dockers_code(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--rm", "--sysctl", "net.nosuch=1", "busybox", "true"], session) == 127
    assert "open /proc/sys/net/nosuch: no such file or directory" in capfd.readouterr().err
