"""The running kernel's version, for the few features that cannot be tried."""

from __future__ import annotations

import os
import re


def running_kernel() -> tuple[int, int]:
    """Major and minor version; (0, 0) for a release that begins with neither."""
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
