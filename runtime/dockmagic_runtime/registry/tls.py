"""TLS as Docker configures it: the host's CAs, and `certs.d/<host[:port]>/` for one registry.

There, each `*.crt` is a further CA, and each `*.cert` with its `*.key` a certificate of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
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
    """How to talk to a server."""
    import ssl

    settings = ssl.create_default_context()
    settings.minimum_version = ssl.TLSVersion.TLSv1_2
    if insecure:
        settings.check_hostname = False
        settings.verify_mode = ssl.CERT_NONE
    names = {origin.authority, f"{bracketed(origin.host)}:{origin.port}"}
    for folder in folders:
        for name in sorted(names):
            _add(settings, folder / name)
    return settings


def _add(settings: ssl.SSLContext, folder: Path) -> None:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for name in names:
        path = folder / name
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
