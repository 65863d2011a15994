"""Small files that are there whole or not at all."""

from __future__ import annotations

import os


def write_file(path: str, data: bytes) -> None:
    """Not flushed to the disk. Raises OSError, as on a full one, with nothing left behind."""
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
