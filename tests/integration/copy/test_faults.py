"""Historic faults of copying, named by their row of the security table and their number."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, DockmagicError, NotFound
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount
from tests.integration.conftest import Build, collect

from .conftest import contents, cp, fresh, make_tar, read

pytestmark = [pytest.mark.root, pytest.mark.network]


def snapshot(top: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below, with modes and contents."""
    contents = {}
    for path in (top, *top.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        contents[str(path)] = (path.lstat().st_mode, content)
    return contents


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of the host that nothing may read or change."""
    top = tmp_path / "victim"
    top.mkdir()
    (top / "x").write_text("the host's")
    return top


SWAP = """
mkdir -p {swapped}{path}; echo 'of the container' > {swapped}{path}/x
while :; do
  ln -sfn / {swapped}.new; mv {swapped} {swapped}.old; mv {swapped}.new {swapped}
  rm {swapped}; mv {swapped}.old {swapped}
done
"""


def swapping(
    engine: Engine, path: Path, swapped: str = "/w", mounts: tuple[Mount, ...] = ()
) -> None:
    """A container in which `swapped` is now a directory, now a link to "/"."""
    script = SWAP.format(path=path, swapped=swapped)
    engine.containers.run(
        ContainerSpec(image="busybox", name="swap", command=("sh", "-c", script), mounts=mounts),
        detach=True,
    )
    ready = f"until test -e {swapped}{path}/x; do :; done"
    collect(engine.containers.exec("swap", ExecSpec(command=("sh", "-c", ready))))


def attempts(engine: Engine, path: str, count: int = 100) -> Iterator[bytes]:
    for _ in range(count):
        with contextlib.suppress(DockmagicError):
            yield read(engine, "swap", path)


def test_row_18_cve_2018_15664_a_swapped_link_never_leads_a_copy_to_the_host(
    engine: Engine, victim: Path
) -> None:
    swapping(engine, victim)
    seen: set[bytes] = set()
    for archive in attempts(engine, f"/w{victim}/x"):
        seen.update(contents(archive).values())
    assert seen <= {b"of the container\n"}
    assert seen  # the race was not lost every time


def test_row_18_cve_2019_10152_nor_what_is_copied_in(engine: Engine, victim: Path) -> None:
    swapping(engine, victim)
    before = snapshot(victim)
    done = 0
    for number in range(100):
        with contextlib.suppress(DockmagicError):
            tar = make_tar({f"evil{number}": b"1", "x": b"2"})
            engine.containers.put_archive("swap", f"/w{victim}", io.BytesIO(tar))
            done += 1
    assert snapshot(victim) == before
    assert done


def test_row_19_cve_2019_14271_nothing_of_the_container_is_loaded(
    engine: Engine, build: Build, host: Path
) -> None:
    """Libraries and modules that would fail or leave a mark if anything loaded them."""
    marker = host / "loaded"
    evil = f"open({str(marker)!r}, 'w')"
    paths = [*_search_paths(), "/lib", "/lib64", "/usr/lib", "/lib/x86_64-linux-gnu"]
    lines = "\n".join(
        f'mkdir -p {path}/encodings; echo "{evil}" > {path}/encodings/idna.py; '
        f'echo "{evil}" > {path}/pwd.py; echo no library > {path}/libnss_files.so.2'
        for path in paths
    )
    image = build(f"FROM busybox\nRUN <<EOF\n{lines}\nEOF\nUSER 1:1\n")
    volume = (Mount(kind="volume", source="vv", target="/v"),)
    engine.containers.create(
        ContainerSpec(image=image, name="tt", command=("sleep", "9"), mounts=volume)
    )
    for _ in ("created", "running"):
        cp(engine, "tt:/etc", ".")
        engine.containers.put_archive(
            "tt", "/v", io.BytesIO(make_tar({"x": b"x"})), copy_uid_gid=True
        )
        engine.containers.start("tt")
    assert (host / "etc" / "passwd").exists()
    assert not marker.exists()


def _search_paths() -> list[str]:
    import sys

    return [path for path in sys.path if path.startswith("/") and not path.endswith(".zip")]


def test_row_20_cve_2021_41089_files_of_the_host_keep_their_modes(
    engine: Engine, image: str, host: Path, victim: Path
) -> None:
    fresh(engine, image, host, running=True)
    (victim / "x").chmod(0o600)
    before = snapshot(victim)
    script = f"mkdir /out; ln -s {victim}/x /out/a; ln -s {victim} /out/d; chmod 777 /out"
    collect(engine.containers.exec("tt", ExecSpec(command=("sh", "-c", script))))
    (host / "out").mkdir(mode=0o700)
    cp(engine, "tt:/out", ".")  # the links are there now
    again = "rm /out/a /out/d; echo 1 > /out/a; mkdir /out/d; echo 2 > /out/d/x; chmod 777 /out/a"
    collect(engine.containers.exec("tt", ExecSpec(command=("sh", "-c", again))))
    with pytest.raises(Conflict, match=r'cannot overwrite non-directory ".*/d" with directory'):
        cp(engine, "tt:/out", ".")
    assert snapshot(victim) == before
    assert (host / "out").stat().st_mode & 0o777 == 0o700


def test_row_22_cve_2023_0778_links_in_a_volume_lead_nowhere_else(
    engine: Engine, victim: Path
) -> None:
    volume = (Mount(kind="volume", source="vv", target="/v"),)
    swapping(engine, victim, "/v/w", mounts=volume)
    seen: set[bytes] = set()
    for archive in attempts(engine, f"/v/w{victim}/x", 50):
        seen.update(contents(archive).values())
    for _ in range(5):
        with engine.containers.export("swap") as stream:
            exported = b"".join(stream)
        assert b"the host's" not in exported
    assert seen <= {b"of the container\n"}


@pytest.mark.parametrize("kind", ["volume", "bind"])
def test_row_50_cve_2026_42306_a_swapped_mount_point_does_not_redirect_a_copy(
    engine: Engine, victim: Path, tmp_path: Path, kind: str
) -> None:
    """And CVE-2026-41568: no file appears on the host, not even an empty one."""
    source = tmp_path / "source"
    source.mkdir()
    place = f"/w{victim}/mounted"
    (victim / "mounted").mkdir()
    name = "vv" if kind == "volume" else str(source)
    swapping(engine, victim, mounts=(Mount(kind=kind, source=name, target=place),))
    before = snapshot(victim)
    for number in range(100):
        with contextlib.suppress(DockmagicError):
            engine.containers.put_archive("swap", place, io.BytesIO(make_tar({f"n{number}": b"1"})))
        with contextlib.suppress(DockmagicError):
            read(engine, "swap", place)
    assert snapshot(victim) == before


@pytest.mark.parametrize("compress", ["gz", "xz", "bz2", "zst"])
def test_row_51_cve_2026_41567_no_program_of_the_container_unpacks(
    engine: Engine, build: Build, host: Path, compress: str
) -> None:
    names = "xz unxz gzip gunzip unpigz pigz bzip2 bunzip2 zstd unzstd"
    marker = host / "ran"
    image = build(
        "FROM busybox\nRUN <<EOF\nmkdir -p /usr/bin /usr/local/bin\n"
        f"for name in {names}; do for place in /bin /usr/bin /usr/local/bin; do\n"
        f"rm -f $place/$name; printf '#!/bin/sh\\necho x > {marker}\\n' > $place/$name\n"
        "chmod 755 $place/$name; done; done\nEOF\n"
    )
    engine.containers.create(ContainerSpec(image=image, name="tt", command=("sleep", "9")))
    for _ in ("created", "running"):
        engine.containers.put_archive("tt", "/tmp", io.BytesIO(make_tar({"x": b"x"}, compress)))
        engine.containers.start("tt")
    assert contents(read(engine, "tt", "/tmp/x")) == {"x": b"x"}
    assert not marker.exists()
    with pytest.raises(NotFound):
        engine.containers.path_stat("tt", str(marker))
