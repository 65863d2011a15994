"""A root of one program: the host's static busybox, with a link per applet."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dockmagic_runtime.catalogue.host import require_tool
from dockmagic_runtime.errors import Unsupported

# Package managers that would find nothing to manage, and pretend to a script that they could
_LEFT_OUT: Final = frozenset({"busybox", "dpkg", "dpkg-deb", "rpm", "rpm2cpio", "linuxrc"})
_PT_INTERP: Final = 3
_DIRECTORIES: Final = (
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
)


def make_applet_root(extra: Path, target: Path) -> None:
    """Write `target`, a tar of busybox, its links and the files below `extra`.

    Times are 0, so the same busybox gives the same layer on every machine.
    """
    busybox = find_static_busybox()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode in _DIRECTORIES:
            archive.addfile(_entry(name, tarfile.DIRTYPE, mode))
        _add_file(archive, "bin/busybox", busybox.read_bytes(), 0o755)
        for applet in _applets(busybox):
            link = _entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "/bin/busybox"
            archive.addfile(link)
        for path in sorted(extra.rglob("*")):
            if path.is_file():
                _add_file(archive, str(path.relative_to(extra)), path.read_bytes(), 0o644)


def find_static_busybox() -> Path:
    """The host's busybox, if it needs no library: inside there is none."""
    path = Path(require_tool("busybox", "busybox-static"))
    if _is_dynamic(path):
        raise Unsupported(
            f"{path} needs shared libraries, so no image can be made of it alone",
            hint="install the package busybox-static: apt-get install busybox-static",
        )
    return path


def _is_dynamic(path: Path) -> bool:
    """Whether an ELF file asks for an interpreter, the dynamic loader: elf(5), PT_INTERP.

    Both architectures we know are 64-bit and little-endian; anything else is no busybox for us.
    """
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return True
    (offset,) = struct.unpack_from("<Q", data, 32)  # e_phoff
    size, count = struct.unpack_from("<HH", data, 54)  # e_phentsize, e_phnum
    starts = (offset + size * number for number in range(count))
    return any(struct.unpack_from("<I", data, start)[0] == _PT_INTERP for start in starts)


def _applets(busybox: Path) -> Iterator[str]:
    listing = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    yield from sorted(set(listing.stdout.split()) - _LEFT_OUT)


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _add_file(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
