"""A tree of layers with a writable one on top, for a builder that copies files into it.

The overlay is mounted nowhere: a detached mount is enough to open files under, and it is gone
with its descriptor, whatever happens to this process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.overlay import mount_overlay


class Workspace:
    """`target` is an empty directory of the Docker area (see `mount_overlay`)."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._lock = threading.Lock()

    @contextmanager
    def mounted(self, lowers: Sequence[str], upper: str, work: str) -> Iterator[Root]:
        """The merged tree; `lowers` topmost first, at least one."""
        linux = Kernel()
        with self._lock:  # kernels before 6.8 put it on the target for a moment
            fd = mount_overlay(linux, lowers, upper, work, target=self.target, volatile=True)
        with Root(fd, linux) as root:
            yield root
