"""`export`: a container's files as one tar, without its mounts."""

from __future__ import annotations

from contextlib import ExitStack

from dockmagic_runtime.containers.copy.copy import TarStream
from dockmagic_runtime.containers.copy.rootfs import open_tree
from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.images.tar.writer import TreeArchive


def export(starter: Starter, record: Record) -> TarStream:
    """The tar of a container, running or not. Read it to the end, or close it."""
    with ExitStack() as stack:
        tree = stack.enter_context(open_tree(starter, record, mounts=False))
        events_of(starter.store, record).emit("export")
        chunks = TreeArchive().below(tree.root.fd)
        return TarStream(chunks, stack.pop_all().close)
