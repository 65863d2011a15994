"""`SOURCE_DATE_EPOCH`: no time in the image is later, so that a build can be repeated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.root import Root

ARGUMENT: Final = "SOURCE_DATE_EPOCH"
_SECOND: Final = 1_000_000_000


def epoch_of(build_args: Mapping[str, str]) -> int | None:
    """Seconds since 1970. Raises InvalidInput."""
    text = build_args.get(ARGUMENT, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidInput(f"invalid {ARGUMENT}: {text}", hint="it counts seconds since 1970")
    return int(text)


def clamp(directory: str, epoch: int) -> None:
    """Set all later times below the directory back to the epoch."""
    limit = epoch * _SECOND
    with Root.at(directory) as root:
        for _, fd, entries in root.walk():
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_mtime_ns > limit:
                    times = (status.st_atime_ns, limit)
                    os.utime(entry.name, ns=times, dir_fd=fd, follow_symlinks=False)
