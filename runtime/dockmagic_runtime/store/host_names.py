"""Where a Docker area is, and its names on the host, by its root directory.

For `DataRoot`, and for a command line that starts the launcher before it has loaded the rest: this
module imports nothing that takes time.
"""

from __future__ import annotations

import os
from typing import Final

DEFAULT_ROOT: Final = "/var/lib/dockmagic"


def default_root() -> str:
    """`$DOCKMAGIC_ROOT`, else the system's directory for root and the user's for all others."""
    if configured := os.environ.get("DOCKMAGIC_ROOT"):
        return absolute(configured)
    if os.geteuid() == 0:
        return DEFAULT_ROOT
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "dockmagic")


def absolute(path: str) -> str:
    """Relative to the current directory, without "." and empty parts. A ".." stays: the directory
    before it may be a link."""
    whole = os.path.join(os.getcwd(), path)
    return "/" + "/".join(part for part in whole.split("/") if part not in ("", "."))


def suffix(root: str) -> str:
    """What the names of this area end in: nothing for the default area, else "-" and its id."""
    identity = area_id(root)
    return f"-{identity}" if identity else ""


def area_id(root: str) -> str:
    """Eight hexadecimal digits of an absolute path; empty for the default area."""
    if root == DEFAULT_ROOT:
        return ""
    from dockmagic_runtime.store.sha256 import hex_digest

    return hex_digest(os.fsencode(root))[:8]


def run_directory(suffix: str) -> str:
    """Sockets and locks: gone after a reboot, like the processes that they belong to."""
    if os.geteuid() == 0:
        base = "/run"
    else:
        base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/dockmagic-run-{os.geteuid()}"
    return f"{base}/dockmagic{suffix}"


def cgroup_parent(suffix: str) -> str:
    return f"dockmagic{suffix}"
