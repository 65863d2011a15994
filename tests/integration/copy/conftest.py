"""A container and a host's tree to copy between, and the command to do it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest

from dockmagic import commands
from dockmagic.commands.output.result import Chunk, Result
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec
from tests.integration.conftest import Build, collect

# the same names in the container, below /c, and on the host
CONTAINER = """FROM busybox
RUN <<EOF
mkdir -p /c/d/s /c/ex /c/conf/a /c/conf2
cd /c
echo cf > f; echo a > d/a; echo b > d/s/b; echo old > ex/old; echo exf > exf; echo z > conf/a/z
echo x > conf2/d
ln -s f lf; ln -s d ld; ln -s nope lx; ln -s ex lex; ln -s newf dangle; ln -s /c/d labs
ln -s l2 l1; ln -s l1 l2; ln -s exf lexf
ln d/a d/hard; mkfifo d/fifo; ln -s /etc/passwd d/pw
EOF
"""


@pytest.fixture
def image(build: Build) -> str:
    return build(CONTAINER)


def make_host_tree(top: Path) -> None:
    files = {
        "f": "file\n", "d/a": "a\n", "d/s/b": "b\n", "ex/old": "old\n", "exf": "exfile\n",
        "conf/a/z": "z\n", "conf2/d": "file named d\n",
    }  # fmt: skip
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    links = {
        "lf": "f", "ld": "d", "lx": "nope", "lex": "ex", "dangle": "newf",
        "loop/l1": "l2", "loop/l2": "l1", "d/labs": "/etc/passwd",
    }  # fmt: skip
    (top / "loop").mkdir()
    for name, target in links.items():
        (top / name).symlink_to(target)
    os.link(top / "d/a", top / "d/hard")
    os.mkfifo(top / "d/fifo")


def host_tree(top: Path) -> set[str]:
    entries = set()
    for path in top.rglob("*"):
        name = str(path.relative_to(top))
        if path.is_symlink():
            entries.add(f"{name} -> {path.readlink()}")
        elif path.is_dir():
            entries.add(f"{name}/")
        elif path.is_fifo():
            entries.add(f"{name} fifo")
        else:
            entries.add(f"{name} = {path.read_text().strip()}")
    return entries


def container_tree(engine: Engine, name: str) -> set[str]:
    entries = set()
    with tarfile.open(fileobj=io.BytesIO(read(engine, name, "/c"))) as tar:
        for member in tar:
            if member.issym():
                entries.add(f"{member.name} -> {member.linkname}")
            elif member.islnk():
                entries.add(f"{member.name} hard link to {member.linkname}")
            elif member.isdir():
                entries.add(f"{member.name}/")
            elif member.isfifo():
                entries.add(f"{member.name} fifo")
            else:
                stream = tar.extractfile(member)
                assert stream is not None
                entries.add(f"{member.name} = {stream.read().decode().strip()}")
    return entries


def read(engine: Engine, name: str, path: str) -> bytes:
    """The tar of a path, without the time it takes to complain."""
    _, stream = engine.containers.get_archive(name, path)
    with stream:
        return b"".join(stream)


def contents(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = [(member, tar.extractfile(member)) for member in tar if member.isfile()]
        return {member.name: stream.read() for member, stream in files if stream}


def make_tar(files: dict[str, bytes], compress: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    plain = out.getvalue()
    if compress == "zst":
        import zstandard

        return zstandard.compress(plain)
    if not compress:
        return plain
    return {"gz": gzip, "xz": lzma, "bz2": bz2}[compress].compress(plain)  # type: ignore[no-any-return]


def cp(engine: Engine, *words: str) -> bytes:
    """Run the command; what it wrote to stdout, if that is where it copied to."""
    outcome = commands.execute(engine, commands.parse(["cp", *words]))
    if isinstance(outcome, Result):
        return b""
    return b"".join(event.data for event in outcome if isinstance(event, Chunk))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "host"
    top.mkdir()
    monkeypatch.chdir(top)
    return top


def fresh(engine: Engine, image: str, host: Path, *, running: bool) -> None:
    """The container `tt` and the host's tree as they are before a case."""
    if engine.containers.list(all=True):
        engine.containers.remove("tt", force=True)
    engine.containers.create(ContainerSpec(image=image, command=("sleep", "1000"), name="tt"))
    if running:
        engine.containers.start("tt")
    for path in sorted(host.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    make_host_tree(host)


def start_and_wait_for(engine: Engine, name: str, path: str) -> None:
    engine.containers.start(name)
    test = f"until test -s {path}; do sleep 0.02; done"
    collect(engine.containers.exec(name, ExecSpec(command=("sh", "-c", test))))
