"""Compression of a rotated log file, in a process of its own."""

from __future__ import annotations

import gzip
import os
import shutil


def compress(path: str) -> None:
    """Replace the file by `path.gz`. Killed at any moment, one of the two is there, whole."""
    temporary = f"{path}.gz.new"
    try:
        with open(path, "rb") as source, gzip.open(temporary, "wb") as target:
            shutil.copyfileobj(source, target)
        os.chmod(temporary, 0o600)
    except FileNotFoundError:
        return  # there are not so many yet, or the container was removed
    except OSError:
        os.unlink(temporary)  # a full disk: the file stays as it is
        return
    os.rename(temporary, f"{path}.gz")
    os.unlink(path)
