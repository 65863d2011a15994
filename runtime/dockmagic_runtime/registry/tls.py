"""TLS as Docker configures it: the host's CAs, and `certs.d/<host[:port]>/` for one registry.

There, each `*.crt` is a further CA, and each `*.cert` with its `*.key` a certificate of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.registry.endpoint import Url
from dockmagic_runtime.registry.proxies import bracketed

if TYPE_CHECKING:
    import ssl


def certificate_folders() -> tuple[Path, ...]:
    """Where `certs.d` is looked for: the host's, and before it the user's when not root."""
    system = Path("/etc/docker/certs.d")
    if os.geteuid() == 0:
        return (system,)
    home = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return (Path(home) / "docker" / "certs.d", system)


def context(origin: Url, folders: Iterable[Path], *, insecure: bool = False) -> ssl.SSLContext:
    """How to talk to a server.

    Reading the host's CAs takes 40 ms: an insecure server's certificate needs none of them, and
    what no folder adds to is read once, until the files change.
    """
    import ssl

    names = sorted({origin.authority, f"{bracketed(origin.host)}:{origin.port}"})
    files = [path for folder in folders for name in names for path in _files(folder / name)]
    if insecure:
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        settings.check_hostname = False
        settings.verify_mode = ssl.CERT_NONE
    elif files:
        settings = ssl.create_default_context()
    else:
        return _hosts(_host_files())
    settings.minimum_version = ssl.TLSVersion.TLSv1_2
    _add(settings, files)
    return settings


@lru_cache(maxsize=1)
def _hosts(_files: tuple[tuple[str, int], ...]) -> ssl.SSLContext:
    """Shared by all servers that the host's CAs alone are asked about; `_files` is what they were
    read from."""
    import ssl

    settings = ssl.create_default_context()
    settings.minimum_version = ssl.TLSVersion.TLSv1_2
    return settings


def _host_files() -> tuple[tuple[str, int], ...]:
    """Where the host's CAs are, and when that changed last."""
    import ssl

    paths = ssl.get_default_verify_paths()
    names = (paths.cafile, paths.capath)
    return tuple((name, os.stat(name).st_mtime_ns) for name in names if name)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _add(settings: ssl.SSLContext, files: Iterable[Path]) -> None:
    for path in files:
        try:
            if path.suffix == ".crt":
                settings.load_verify_locations(path)
            elif path.suffix == ".cert":
                settings.load_cert_chain(path, _key_of(path))
        except OSError as error:  # ssl.SSLError is one
            raise InvalidInput(f"{path} cannot be used: {error}") from None


def _key_of(certificate: Path) -> Path:
    key = certificate.with_suffix(".key")
    if not key.exists():
        raise InvalidInput(f"missing key {key.name} for client certificate {certificate}")
    return key
