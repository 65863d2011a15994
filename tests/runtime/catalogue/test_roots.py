"""The two kinds of root, made for real."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Generator
from pathlib import Path

import pytest

from dockmagic_runtime.catalogue import applets
from dockmagic_runtime.catalogue.applets import find_static_busybox, make_applet_root
from dockmagic_runtime.catalogue.bootstrap import bootstrap
from dockmagic_runtime.catalogue.host import HostPackages, read_host
from dockmagic_runtime.catalogue.recipe import recipes
from dockmagic_runtime.catalogue.sources import PackageSource
from dockmagic_runtime.errors import RemoteFailed, Unsupported


@pytest.fixture
def applet_root(tmp_path: Path) -> Path:
    make_applet_root(recipes()["alpine"].folder / "root", tmp_path / "root.tar")
    return tmp_path / "root.tar"


def test_the_applet_root_has_the_tools_a_shell_user_expects(applet_root: Path) -> None:
    with tarfile.open(applet_root) as archive:
        links = {member.name: member.linkname for member in archive if member.issym()}
    assert {f"bin/{name}" for name in ("sh", "ls", "ps", "cat", "vi", "wget")} <= set(links)
    assert set(links.values()) == {"/bin/busybox"}
    assert not {"bin/apk", "bin/dpkg", "bin/rpm"} & set(links)


def test_the_applet_root_has_the_modes_and_files_of_a_root(applet_root: Path) -> None:
    with tarfile.open(applet_root) as archive:
        modes = {member.name: member.mode for member in archive}
        release = archive.extractfile("etc/os-release")
        assert release is not None
        assert b"ID=alpine" in release.read()
    assert modes["tmp"] == 0o1777
    assert modes["root"] == 0o700
    assert modes["bin/busybox"] == 0o755
    assert modes["etc/passwd"] == 0o644


def test_the_applet_root_is_the_same_every_time(applet_root: Path, tmp_path: Path) -> None:
    make_applet_root(recipes()["alpine"].folder / "root", tmp_path / "again.tar")
    assert applet_root.read_bytes() == (tmp_path / "again.tar").read_bytes()


@pytest.mark.root
def test_the_applet_root_can_be_lived_in(applet_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", applet_root, "-C", root], check=True)
    said = subprocess.run(
        [
            "/usr/sbin/chroot",
            root,
            "/bin/sh",
            "-c",
            "whoami; echo hello | tr a-z A-Z; cat /etc/os-release",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/bin"},
    )
    lines = said.stdout.splitlines()
    assert lines[:2] == ["root", "HELLO"]
    assert "ID=alpine" in lines


def test_a_busybox_that_needs_libraries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applets, "require_tool", lambda _name, _package: "/bin/ls")
    with pytest.raises(Unsupported, match="install the package busybox-static"):
        find_static_busybox()


@pytest.mark.root
@pytest.mark.slow
def test_a_distribution_root_updates_itself_from_the_hosts_sources(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o700)
    events = list(bootstrap(read_host(), scratch, tmp_path / "root.tar"))
    assert [event.current for event in events] == sorted({event.current for event in events})
    assert not list(scratch.glob("mmdebstrap.*"))

    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "root.tar", "-C", root], check=True)
    assert list((root / "var/lib/apt/lists").glob("*Packages*")) == []
    assert list((root / "var/cache/apt").glob("*.bin")) == []
    (root / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    subprocess.run(["chroot", root, "apt-get", "update", "-qq"], check=True, timeout=120)
    known = subprocess.run(
        ["chroot", root, "apt-cache", "policy", "apache2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Candidate: 2." in known.stdout


def _unreachable_host() -> HostPackages:
    source = PackageSource(
        uris=("http://127.0.0.1:9/debian",),
        suites=("bookworm",),
        components=("main",),
        options={"Trusted": "yes"},
    )
    return HostPackages(name="x", codename="bookworm", sources=(source,), apt_settings=(), files=())


@pytest.mark.root
def test_sources_that_do_not_answer_are_one_clear_error(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(RemoteFailed, match=r"could not be made: .*127\.0\.0\.1"):
        list(bootstrap(_unreachable_host(), scratch, tmp_path / "root.tar"))
    assert not list(scratch.glob("mmdebstrap.*"))


@pytest.mark.root
def test_a_bootstrap_that_is_given_up_leaves_no_process_and_no_root(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    events = bootstrap(read_host(), scratch, tmp_path / "root.tar")
    assert isinstance(events, Generator)
    next(events)
    events.close()  # what an interrupted cell does to the generator
    assert not list(scratch.glob("mmdebstrap.*"))
    alive = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(scratch).encode() in _read(path)
    ]
    assert alive == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
