"""A stack of layers with a writable one on top, into which the builder copies files.

The overlay is mounted nowhere: files can be opened below a detached mount, and the mount ends
with its descriptor, also when this process is killed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.overlay import mount_overlay


class Workspace:
    """`target` is an empty directory of the data root (see `mount_overlay`)."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._lock = threading.Lock()

    @contextmanager
    def mounted(self, lowers: Sequence[str], upper: str, work: str) -> Iterator[Root]:
        """The merged tree; `lowers` topmost first, at least one."""
        linux = Kernel()
        with self._lock:  # kernels before 6.8 attach it to the target for a moment
            fd = mount_overlay(linux, lowers, upper, work, target=self.target, volatile=True)
        with Root(fd, linux) as root:
            yield root
