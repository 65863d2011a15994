"""What the host's distribution brings: its name, its package sources, and how apt reaches them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from dockmagic_runtime.catalogue.sources import (
    PackageSource,
    distribution_sources,
    parse_deb822,
    parse_one_line,
    without_credentials,
)
from dockmagic_runtime.errors import Unsupported

PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_CA_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
_OWN_CERTIFICATES: Final = "/usr/local/share/ca-certificates"
# Settings of the host's apt that decide whether and how its sources answer
_REACH = re.compile(
    r"Acquire::(?:(?:https?|ftp|socks5h)::|Check-Valid-Until|Check-Date|ForceIPv|Retries"
    r"|AllowInsecure|AllowWeak|AllowDowngrade)"
)
_SETTING = re.compile(r'([A-Za-z0-9:._/-]+) "(.*)";')


class HostPackages(Struct, frozen=True, kw_only=True):
    """The facts a stand-in is made from. `files` are paths on the host that go in as they are."""

    name: str
    codename: str
    sources: tuple[PackageSource, ...]
    apt_settings: tuple[tuple[str, str], ...]
    files: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Changes when a root made from these facts would."""
        facts = (self.name, self.codename, self.sources_text(), self.apt_text(), self.files)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def sources_text(self, *, credentials: bool = False) -> str:
        return "\n".join(source.deb822(credentials=credentials) for source in self.sources)

    def apt_text(self, *, secrets: bool = False) -> str:
        """The settings as an apt.conf; without secrets and paths it may be kept in an image."""
        return "".join(
            f'{name} "{value}";\n'
            for name, value in self.apt_settings
            if secrets or _may_be_kept(name, value)
        )


def _may_be_kept(name: str, value: str) -> bool:
    if name.lower().endswith("cainfo"):
        return True  # the file is copied, to the same place
    return not value.startswith("/") and without_credentials(value) == value


def proxy_environment() -> dict[str, str]:
    """The proxy variables of this process, in the spelling they have."""
    return {name: value for name, value in os.environ.items() if name.lower() in PROXY_VARIABLES}


def require_tool(name: str, package: str) -> str:
    """The path of a program of the host. Unsupported, naming the package, when it is not there."""
    if path := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/bin"):
        return path
    raise Unsupported(
        f"a stand-in image is made with {name}, which is not installed",
        hint=f"install the package {package}: apt-get install {package}",
    )


def read_host(root: Path = Path("/")) -> HostPackages:
    """The facts of the host with the file system at `root`."""
    release = read_os_release(root)
    codename = release.get("VERSION_CODENAME", "")
    own_names = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    sources = distribution_sources(read_sources(root), codename, _foreign(own_names))
    if not sources:
        raise Unsupported(
            f"no package source of {release.get('PRETTY_NAME', 'this system')} itself is configured"
            " for apt, so no stand-in image can be made",
            hint="add one to /etc/apt/sources.list.d, or turn the catalogue off",
        )
    settings = tuple(_reach_settings())
    return HostPackages(
        name=release.get("PRETTY_NAME", "Linux"),
        codename=codename,
        sources=sources,
        apt_settings=settings,
        files=tuple(dict.fromkeys(_files(root, sources, settings))),
    )


def distribution_name() -> str:
    """The pretty name in the host's os-release: `Debian GNU/Linux 12 (bookworm)`."""
    return read_os_release(Path("/")).get("PRETTY_NAME", "this machine's distribution")


def read_os_release(root: Path) -> dict[str, str]:
    path = root / "etc/os-release"
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {name: value.strip("\"'") for name, value in pairs}


def read_sources(root: Path) -> Iterator[PackageSource]:
    etc = root / "etc/apt"
    if (etc / "sources.list").exists():
        yield from parse_one_line((etc / "sources.list").read_text())
    for path in sorted((etc / "sources.list.d").glob("*")):
        if path.suffix == ".list":
            yield from parse_one_line(path.read_text())
        elif path.suffix == ".sources":
            yield from parse_deb822(path.read_text())


def _files(
    root: Path, sources: tuple[PackageSource, ...], settings: tuple[tuple[str, str], ...]
) -> Iterator[str]:
    """Keys and certificates that the sources need inside too."""
    for source in sources:
        yield from source.keyrings
    if not all(source.options.get("Signed-By") for source in sources):
        yield from _existing(root, ("etc/apt/trusted.gpg", "etc/apt/trusted.gpg.d/*"))
    authorities = [value for name, value in settings if name.lower().endswith("cainfo")]
    if any("https:" in uri for source in sources for uri in source.uris) or authorities:
        yield from authorities
        yield from _existing(root, (_CA_BUNDLE.lstrip("/"), f"{_OWN_CERTIFICATES[1:]}/*.crt"))


def _existing(root: Path, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            if path.is_file():
                yield f"/{path.relative_to(root)}"


def _reach_settings() -> Iterator[tuple[str, str]]:
    for line in _apt("apt-config", "dump").splitlines():
        if (match := _SETTING.fullmatch(line)) and match[2] and _REACH.match(match[1]):
            yield match[1], match[2]


def _foreign(own_names: set[str]) -> frozenset[tuple[str, str]]:
    """(URI, suite) of the sources with a downloaded Release file that names another origin.

    Empty where no lists were downloaded, and where a mirror signs everything as its own: then
    the suites alone decide.
    """
    listing = _apt(
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)|$(RELEASE)|$(ORIGIN)",
        "Created-By: Packages",
    )
    rows = [line.split("|") for line in listing.splitlines() if line.count("|") == 2]
    own = {name.lower() for name in own_names if name}
    if not any(_is_own(origin, own) for _, _, origin in rows):
        return frozenset()
    return frozenset(
        (uri.rstrip("/"), suite) for uri, suite, origin in rows if not _is_own(origin, own)
    )


def _is_own(origin: str, own: set[str]) -> bool:
    return bool({origin.lower(), origin.lower().split(" ")[0]} & own)


def _apt(program: str, *arguments: str) -> str:
    path = require_tool(program, "apt")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [path, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    return done.stdout
