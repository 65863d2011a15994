"""The virtual machine's disk and kernel, made once and kept in build/v2/ until the recipe changes.

A small Debian root with the tools and Python packages that the tests need, from the host's own
package sources, and the distribution's cloud kernel: that one has ext4 and NVMe built in, so it
mounts the disk without an initramfs. All other modules are on the disk and loaded when the kernel
asks for them, as on any host. The repository is not on it: it comes anew with every run.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from dockmagic_runtime.catalogue.host import HostPackages, read_host
from dockmagic_runtime.catalogue.sources import main_suite

REPOSITORY = Path(__file__).parents[2]
BUILD = REPOSITORY / "build" / "v2"
MOUNT_POINT = "/srv/dockmagic"  # where the machine has the repository
_KERNEL = "linux-image-cloud-amd64"
_PACKAGES = (
    "python3",
    "busybox-static",
    "nftables",
    "iproute2",
    "kmod",
    "netbase",
    "mount",
    "e2fsprogs",
    "procps",
    "tini",
)
# Of what pyproject.toml asks for, all but this, which shows things in a notebook
_UNNEEDED_LIBRARIES = ("ipython", "ipywidgets", "anywidget", "pandas")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# mmdebstrap mounts the host's /sys and more in what it makes. In a namespace of its own that goes
# with it, however it ends: the removal of an interrupted root must not meet /sys in there.
_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_DISK_SIZE = "3G"  # sparse
_UNNEEDED_FILES = ("usr/share/man/*", "usr/share/doc/*", "usr/share/info/*", "usr/share/locale/*")
_KERNEL_HOOK = """set -e
mkdir "$1/kernel"
version=$(APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-cache depends --important {kernel} |
    sed -n 's/ *Depends: //p')
(cd "$1/kernel" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download -qq "$version")
dpkg-deb --fsys-tarfile "$1"/kernel/*.deb | tar -x --keep-directory-symlink -C "$1"
rm -r "$1/kernel"
chroot "$1" depmod "$(ls "$1/lib/modules")"
"""
_INIT = f"""#!/bin/sh
# The first process: fetch the repository from the second disk and let it go on.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t devtmpfs devtmpfs /dev
mkdir -p {MOUNT_POINT}
while ! test -b /dev/nvme0n2; do sleep 0.05; done # the kernel waits for the first disk only
tar -x -f /dev/nvme0n2 -C {MOUNT_POINT}
exec sh {MOUNT_POINT}/tests/v2/guest.sh
"""


class CannotBuild(Exception):
    """One sentence why this machine cannot make the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    kernel: Path
    disk: Path


def image() -> Image:
    """The image of today's recipe; made if it is not there. What others and killed runs have left
    is removed: call it when no other run is going on."""
    place = BUILD / _recipe_digest()
    for other in BUILD.iterdir():
        if other.is_dir() and other != place:
            shutil.rmtree(other)
    cached = Image(kernel=place / "vmlinuz", disk=place / "root.ext4")
    if cached.disk.exists():
        return cached
    _check_host()
    print("Making the virtual machine's disk", flush=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="making-") as scratch:
        _make(Path(scratch))
        (Path(scratch) / "finished").rename(place)
    return cached


def _recipe_digest() -> str:
    parts = (Path(__file__).read_bytes(), *(spec.encode() for spec in _library_specs()))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _library_specs() -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"], *project["dependency-groups"]["test"]]
    return [line for line in listed if not line.startswith(_UNNEEDED_LIBRARIES)]


def _check_host() -> None:
    if platform.machine() != "x86_64":
        raise CannotBuild(f"its recipe is for x86-64, and this machine is {platform.machine()}")
    if os.geteuid() != 0:
        raise CannotBuild("making its disk needs root, once: sudo make test-v2")


def _make(scratch: Path) -> None:
    root, finished = scratch / "root", scratch / "finished"
    finished.mkdir()
    _bootstrap(read_host(), scratch, root)
    _install_libraries(root)
    init = root / "sbin" / "init"
    init.unlink(missing_ok=True)
    init.write_text(_INIT)
    init.chmod(0o755)
    for path in (root / "boot").glob("vmlinuz-*"):
        path.rename(finished / "vmlinuz")
    _run("mke2fs", "-q", "-t", "ext4", "-d", root, finished / "root.ext4", _DISK_SIZE)


def _bootstrap(host: HostPackages, scratch: Path, root: Path) -> None:
    (scratch / "apt.conf").write_text(host.apt_text(secrets=True) + 'APT::Sandbox::User "root";\n')
    (scratch / "host.sources").write_text(host.sources_text(credentials=True))
    (scratch / "kernel-hook").write_text(_KERNEL_HOOK.format(kernel=_KERNEL))
    _run(
        *_APART,
        "mmdebstrap",
        "--variant=essential",
        "--format=directory",
        "--mode=root",
        f"--include={','.join(_PACKAGES)}",
        f"--aptopt={scratch / 'apt.conf'}",
        *(f"--dpkgopt=path-exclude=/{pattern}" for pattern in _UNNEEDED_FILES),
        f'--customize-hook=sh "{scratch}/kernel-hook" "$1"',
        main_suite(host.sources, host.codename) or host.codename,
        root,
        scratch / "host.sources",
    )


def _install_libraries(root: Path) -> None:
    """By the pip at hand, in wheels for the Python of the root, which may be another."""
    versions = sorted(path.name for path in (root / "usr/lib").glob("python3.*"))
    packages = root / "usr/lib/python3/dist-packages"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "install")
    target = ("--target", packages, "--python-version", versions[-1].removeprefix("python"))
    _run(*pip, *target, "--only-binary=:all:", "--root-user-action=ignore", *_library_specs())
    (packages / "dockmagic.pth").write_text(f"{MOUNT_POINT}\n{MOUNT_POINT}/runtime\n")


def _run(*command: str | Path) -> None:
    environment = {**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment
    )
    if done.returncode:
        words = " ".join(map(str, command))
        raise CannotBuild(f"this failed: {words}\n{done.stderr.strip()[-2000:]}")
