"""What all tests share: capabilities found by trying, skips that CI does not forgive, and areas
that prove that nothing was left behind.

A test says what it needs by a marker (`root`, `network`). Where the machine has not got it the
test is skipped with the reason; with CI=true such a skip fails the run, unless its reason begins
with `optional: ` (a peer that is not installed, a cgroup version this host does not have).
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from dockmagic_runtime import Engine, catalogue
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

STOCK = Path(__file__).parent.parent / "build" / "test-images"
SERVER_STOCK = STOCK.with_name("test-servers")
# a deadline for one example fails on a busy machine, and says nothing
settings.register_profile("dockmagic", deadline=None)
settings.load_profile("dockmagic")

IN_CI = os.environ.get("CI") == "true"
OPTIONAL = "optional: "

# Each probe tries for real, in a process of its own that may then be thrown away.
_ENTER = """
import os, sys
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
kernel, scratch = Kernel(), sys.argv[1]
kernel.unshare(c.CLONE_NEWNS | c.CLONE_NEWNET | c.CLONE_NEWPID | c.CLONE_NEWUTS | c.CLONE_NEWIPC)
kernel.mount("none", "/", "", c.MS_REC | c.MS_PRIVATE, "")
"""
_ROOT = """
for name in ("lower", "upper", "work", "merged"):
    os.mkdir(f"{scratch}/{name}")
kernel.mount("overlay", f"{scratch}/merged", "overlay", 0,
    f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work")
"""
_NETWORK = """
import subprocess
subprocess.run(["sh", "-ec", "ip link add probe0 type bridge; ip link add probe1 type veth;"
    "nft add table inet probe"], check=True)  # one process: it is pid 1 of its namespace
"""


@functools.cache
def missing_capability(name: str) -> str:
    """Why this machine cannot run tests marked `name`; empty when it can."""
    if sys.platform != "linux":
        return "not Linux"
    program = _ENTER + {"root": _ROOT, "network": _NETWORK}[name]
    with tempfile.TemporaryDirectory() as scratch:
        probe = subprocess.run(
            [sys.executable, "-c", program, scratch], capture_output=True, text=True, check=False
        )
    return probe.stderr.strip().splitlines()[-1] if probe.returncode else ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    for capability in ("root", "network"):
        if item.get_closest_marker(capability) and (reason := missing_capability(capability)):
            pytest.skip(f"no {capability}: {reason}")
    if item.get_closest_marker("sctp") and not has_sctp():
        pytest.skip(f"{OPTIONAL}this kernel has no SCTP")


@functools.cache
def has_sctp() -> bool:
    """Asking lets the kernel load its module, where there is one."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


class UnexpectedSkips:
    """Fails a run in CI that skipped what it should have run."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(OPTIONAL):
            self.found.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section("skips that CI does not expect", red=True)
            for line in self.found:
                terminalreporter.line(line)


class AreasLeft:
    """Fails a run in which an area of this session is still on the host when it ends.

    Only areas that were prepared in this process are looked for, by their ids: what other engines
    do on the same host meanwhile is theirs.
    """

    def __init__(self) -> None:
        self.data_roots: set[DataRoot] = set()
        self.left = ""

    def pytest_sessionstart(self) -> None:
        prepare, data_roots = DataRoot.prepare, self.data_roots

        def noting(data_root: DataRoot) -> None:
            if data_root.id and data_root == DataRoot.at(
                data_root.root
            ):  # and not of a name that a test made up
                data_roots.add(data_root)
            prepare(data_root)

        DataRoot.prepare = noting  # type: ignore[method-assign, assignment]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.left = left_behind(HostSnapshot.nothing(), *self.data_roots)
        if self.left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.left:
            terminalreporter.section("left behind on the host", red=True)
            for data_root in self.data_roots:
                if data_root.id in self.left:
                    terminalreporter.line(f"{data_root.id} is the area {data_root.root}")
            terminalreporter.line(self.left)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(AreasLeft(), "areas-left")
    if IN_CI:
        config.pluginmanager.register(UnexpectedSkips(), "unexpected-skips")


@pytest.fixture
def data_root(tmp_path: Path) -> Iterator[DataRoot]:
    """An empty Docker area of its own; afterwards nothing of it may be left on the host."""
    data_root = DataRoot.at(tmp_path / "area")
    data_root.prepare()
    before = HostSnapshot.take(data_root)
    yield data_root
    left = left_behind(before, data_root)
    shutil.rmtree(data_root.run, ignore_errors=True)
    assert not left, f"the test left behind:\n{left}"


@pytest.fixture
def engine(data_root: DataRoot) -> Iterator[Engine]:
    """An engine on an empty area, offline: images come from the catalogue."""
    with Engine(data_root.root, catalogue="always") as engine:
        yield engine
        engine.system.uninstall()


@pytest.fixture(scope="session")
def stock() -> Path:
    """The root of an area that holds the catalogue's images; kept in build/ between runs.

    Read only for tests: take `stocked_engine` to work with the images.
    """
    root = STOCK / _recipe_digest()
    with Engine(root, catalogue="always") as engine:
        present = {tag for image in engine.images.list() for tag in image.tags}
        for name in ("busybox:latest", "httpd:latest"):
            if name not in present:
                list(engine.images.pull(name))
        engine.system.uninstall()
    for old in STOCK.iterdir():
        if old != root:
            shutil.rmtree(old)
    return root


SERVERS = ("busybox:latest", "mysql:5.7", "registry:2", "jupyter/datascience-notebook:latest")


@pytest.fixture(scope="session")
def servers() -> Iterator[Engine]:
    """An engine that has the catalogue's servers, made once and kept in build/ between runs.

    All tests of a session share it, and each removes its containers: take `server_engine`.
    """
    root = SERVER_STOCK / _recipe_digest()
    with Engine(root, catalogue="always") as engine:
        present = {tag for image in engine.images.list() for tag in image.tags}
        for name in SERVERS:
            if name not in present:
                list(engine.images.pull(name))
        yield engine
        engine.system.uninstall()
    for old in SERVER_STOCK.iterdir():
        if old != root:
            shutil.rmtree(old)


@pytest.fixture
def server_engine(servers: Engine) -> Iterator[Engine]:
    """The same for one test, which leaves no container, volume and image of its own behind."""
    images = {image.id: set(image.tags) for image in servers.images.list(all=True)}
    yield servers
    for container in servers.containers.list(all=True):
        servers.containers.remove(container.id, force=True, volumes=True)
    for volume in servers.volumes.list():
        servers.volumes.remove(volume.name)
    for image in servers.images.list(all=True):
        for name in set(image.tags) - images.get(image.id, set()):
            servers.images.remove(name, force=True)


def _recipe_digest() -> str:
    """Changes with anything in the catalogue's room, code or recipe."""
    digest = hashlib.sha256()
    for path in sorted(Path(catalogue.__file__).parent.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@pytest.fixture
def stocked_engine(data_root: DataRoot, stock: Path) -> Iterator[Engine]:
    """An engine whose area has the images of `stock`, and its own of everything else.

    Layers are never written to, so hard links serve; 200 MB would take their time to copy.
    """
    for name in ("layers", "blobs", "catalogue"):
        if (stock / name).exists():
            _copy_tree(stock / name, data_root.root)
    shutil.copyfile(stock / "state.db", data_root.database)
    with Engine(data_root.root, catalogue="always") as engine:
        yield engine
        engine.system.uninstall()


def _copy_tree(source: Path, target: Path) -> None:
    if subprocess.run(["cp", "-al", source, target], capture_output=True, check=False).returncode:
        subprocess.run(["cp", "-a", source, target], check=True)  # another file system
