"""One run of the virtual machine: boot, pass on what the tests print, end it whatever happens."""

from __future__ import annotations

import io
import os
import selectors
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .image import BUILD, REPOSITORY, Image

_PROGRAM = "qemu-system-x86_64"
_PARTS = ("dockmagic", "runtime", "tests", "pyproject.toml", "README.md")
_KERNEL_LINE = "root=/dev/nvme0n1 rw console=ttyS0 quiet panic=-1 cgroup_no_v1=all psi=1"
_LAST_WORDS = 30  # lines of the kernel's console to show when it ended without a result


class NoResult(Exception):
    """The machine ended, or was ended, before the tests did."""


def run(image: Image, arguments: Sequence[str], *, limit: float) -> int:
    """pytest's exit status for `arguments`. Raises NoResult if there is none in `limit` seconds."""
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="running-") as name:
        scratch = Path(name)
        _pack(scratch / "repository.tar", arguments)
        with subprocess.Popen(
            _command(image, scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": name},
            start_new_session=True,  # an interrupt is ours to act upon
        ) as process:
            try:
                _pass_on(process, time.monotonic() + limit)
            finally:
                process.kill()  # by its pid: it has nothing to lose
        return _result(scratch)


def _pack(target: Path, arguments: Sequence[str]) -> None:
    """The repository as it is now, with the tests to run in a file, as a tar for a disk."""
    with tarfile.open(target, "w") as archive:
        for part in _PARTS:
            archive.add(REPOSITORY / part, part, filter=_without_caches)
        words = shlex.join(arguments).encode()
        member = tarfile.TarInfo("selection")
        member.size = len(words)
        archive.addfile(member, io.BytesIO(words))


def _without_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if member.name.endswith("__pycache__"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _command(image: Image, scratch: Path) -> list[str]:
    """Three serial lines: the kernel's console, what the tests print, and their exit status.

    One program becomes the next, so the pid stays, and the machine ends with us even if we are
    killed.
    """
    repository = scratch / "repository.tar"
    disks = (f"{_file(image.disk)},snapshot=on", f"{_file(repository)},readonly=on")
    return [
        *("setpriv", "--pdeathsig=KILL", "nice"),
        *(_PROGRAM, "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"),
        *("-smp", "2", "-m", "1536", "-nodefaults", "-no-reboot", "-display", "none"),
        *("-kernel", str(image.kernel), "-append", _KERNEL_LINE),
        *("-serial", f"file:{scratch / 'console'}"),
        *("-serial", "stdio"),
        *("-serial", f"file:{scratch / 'status'}"),
        *("-device", "nvme,serial=disks"),
        *(
            word
            for number, disk in enumerate(disks, 1)
            for word in (
                *("-drive", f"{disk},format=raw,if=none,cache=unsafe,id=disk{number}"),
                *("-device", f"nvme-ns,drive=disk{number},nsid={number}"),
            )
        ),
    ]


def _file(path: Path) -> str:
    return f"file={path}".replace(",", ",,")


def _pass_on(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Copy the tests' output to ours until the machine switches itself off, or it is too late."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(deadline - time.monotonic(), 0)):
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            sys.stdout.write(data.decode(errors="replace").replace("\r\n", "\n"))
            sys.stdout.flush()


def _result(scratch: Path) -> int:
    status = scratch / "status"
    words = status.read_text().split() if status.exists() else []
    if len(words) == 1 and words[0].isdecimal():
        return int(words[0])
    console = scratch / "console"
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    last = "\n".join(lines[-_LAST_WORDS:])
    raise NoResult(f"it was switched off before the tests were done; its console says:\n{last}")
