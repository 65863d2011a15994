"""A minimal Debian or Ubuntu root as a tar, made by mmdebstrap from the host's own sources.

What the sources need (keys, certificates, settings that decide whether they answer) goes inside
too, so that `apt-get update` works there. Passwords do not: they serve the bootstrap only, since
an image may be pushed anywhere.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dockmagic_runtime.catalogue.host import HostPackages, proxy_environment, require_tool
from dockmagic_runtime.catalogue.sources import main_suite
from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.model.progress import STEP, PullStatus

# Arrives with Debian's mmdebstrap: installs usr-is-merged where it exists. Without it `usrmerge`
# comes, and brings 50 MB of Perl.
_MERGED_USR: Final = Path("/usr/share/mmdebstrap/hooks/maybe-merged-usr")
_APT_SETTINGS: Final = (
    'Acquire::Languages "none";',  # translations of package descriptions
    'Acquire::GzipIndexes "true";',
    'APT::AutoRemove::SuggestsImportant "false";',
    'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };',
    'Dir::Cache::pkgcache "";',
    'Dir::Cache::srcpkgcache "";',
)
_DPKG_SETTINGS: Final = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
# mmdebstrap's own lines, by how they begin, in our words
_STAGES: Final = (
    ("I: running apt-get update", "Reading the package lists"),
    ("I: downloading packages", "Downloading packages"),
    ("I: extracting archives", "Unpacking"),
    ("I: installing essential", "Configuring the essential packages"),
    ("I: installing remaining", "Configuring the rest"),
    ("I: creating tarball", "Packing the root"),
)
# Packages ask it before they start a service; a container has no init that would.
_POLICY_RC_D: Final = "#!/bin/sh\nexit 101\n"
_GRACE: Final = 10.0  # seconds for mmdebstrap to remove its own files after an interrupt


def bootstrap(host: HostPackages, scratch: Path, target: Path) -> Iterator[PullStatus]:
    """Make `target`, a tar, working inside `scratch`; one status per stage."""
    command = _command(host, scratch, target)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "TMPDIR": str(scratch),
        **proxy_environment(),
    }
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,  # an interrupt reaches it through us, all of it, once
    )
    try:
        yield from _follow(process)
    finally:
        _end(process)


def _command(host: HostPackages, scratch: Path, target: Path) -> list[str]:
    inside = scratch / "inside"
    _lay_out_settings(host, inside)
    (scratch / "apt.conf").write_text(_bootstrap_settings(host))
    (scratch / "apt.conf").chmod(0o600)
    (scratch / "host.sources").write_text(host.sources_text(credentials=True))
    (scratch / "host.sources").chmod(0o600)
    merged_usr = [f"--hook-dir={_MERGED_USR}"] if _MERGED_USR.is_dir() else []
    return [
        require_tool("mmdebstrap", "mmdebstrap"),
        "--variant=minbase",
        "--format=tar",
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        *merged_usr,
        f"--aptopt={scratch / 'apt.conf'}",
        *(f"--dpkgopt={setting}" for setting in _DPKG_SETTINGS),
        '--customize-hook=rm -rf "$1"/etc/apt/apt.conf.d/99mmdebstrap'
        ' "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*'
        ' "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/var/cache/apt/*.bin',
        f"--customize-hook=sync-in '{inside}' /",
        main_suite(host.sources, host.codename) or host.codename,
        str(target),
        str(scratch / "host.sources"),
    ]


def _bootstrap_settings(host: HostPackages) -> str:
    """For mmdebstrap's apt alone: with the host's passwords, as root since our scratch is 0700."""
    return (
        host.apt_text(secrets=True)
        + 'APT::Sandbox::User "root";\nAcquire::Languages "none";\n'
        + 'Dir::Etc::netrc "/etc/apt/auth.conf";\nDir::Etc::netrcparts "/etc/apt/auth.conf.d";\n'
    )


def _lay_out_settings(host: HostPackages, inside: Path) -> None:
    """The files that the image keeps, in a tree to be copied over its root."""
    settings = "\n".join(_APT_SETTINGS) + "\n" + host.apt_text()
    _write(inside / "etc/apt/apt.conf.d/90dockmagic", settings)
    _write(inside / "etc/apt/sources.list.d/distribution.sources", host.sources_text())
    _write(inside / "usr/sbin/policy-rc.d", _POLICY_RC_D, mode=0o755)
    for name in host.files:
        destination = inside / name.lstrip("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, destination)
        destination.chmod(0o644)
    for directory in (inside, *(path for path in inside.rglob("*") if path.is_dir())):
        directory.chmod(0o755)  # whatever our umask is


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _follow(process: subprocess.Popen[str]) -> Iterator[PullStatus]:
    assert process.stderr is not None
    last: deque[str] = deque(maxlen=20)
    for line in process.stderr:
        last.append(line.rstrip())
        for number, (beginning, words) in enumerate(_STAGES, 1):
            if line.startswith(beginning):
                count = len(_STAGES)
                yield PullStatus(
                    status=words,
                    id="root",
                    current=number,
                    total=count,
                    kind=STEP,
                    step=number,
                    steps=count,
                )
    if process.wait() != 0:
        raise _failure(list(last))


def _failure(lines: list[str]) -> RemoteFailed:
    """The most specific line: apt's own error, else mmdebstrap's, else the last."""
    errors = [line for line in lines if line.startswith("E: ")]
    reason = errors[0] if errors else (lines or ["it said nothing"])[-1]
    return RemoteFailed(
        f"the minimal root for a stand-in image could not be made: {reason.removeprefix('E: ')}",
        hint="do the host's package sources answer? Try apt-get update on the host",
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Leaves nothing running, wherever the caller was interrupted."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            continue
    if process.stderr is not None:
        process.stderr.close()
