"""A verb in a process that kills itself: `killed.py ROOT VERB ARGUMENT` for each number on stdin.

A step is whatever another process could see half done: a name made, moved or removed, a file
opened for writing, a transaction begun and ended. For a number N the verb runs in a fork of this
process, which sends itself SIGKILL before its Nth step; the answer is a line, "killed" or "done".
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dockmagic_runtime.distribution.load import Loader
from dockmagic_runtime.distribution.pull import Puller
from dockmagic_runtime.images import prune
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.create import compose
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database

_NAMES = frozenset(("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Steps:
    """Counts them, and kills this process before the last that it may do."""

    def __init__(self, last: int) -> None:
        self._left = last
        self._lock = threading.Lock()

    def step(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NAMES or (event == "open" and arguments[2] & _WRITING):
            self.step()

    def watch(self) -> None:
        sys.addaudithook(self.audit)
        transaction = Database.transaction

        @contextmanager
        def watched(database: Database) -> Iterator[sqlite3.Connection]:
            self.step()
            with transaction(database) as connection:
                yield connection
                self.step()
            self.step()

        Database.transaction = watched  # type: ignore[method-assign, assignment]


def run(root: str, verb: str, argument: str) -> None:
    data_root = DataRoot.at(root)
    database = Database(data_root.database)
    layers = LayerStore(data_root, database)
    images = ImageStore(data_root, database, layers)
    if verb == "pull":
        for _ in Puller(images, layers, BlobStore(data_root)).pull(argument):
            pass
    elif verb == "load":
        with Path(argument).open("rb") as file:
            for _ in Loader(data_root, images, layers).load(file):
                pass
    elif verb == "adopt":
        adopt(data_root, images, layers, argument)
    elif verb == "rmi":
        images.remove(argument)
    else:
        prune.prune(images, layers, used=(), dangling_only=True, wanted=lambda *_: True)
        layers.prune()
    database.close()


def adopt(data_root: DataRoot, images: ImageStore, layers: LayerStore, reference: str) -> None:
    """What a build and a commit do: a directory becomes a layer, and an image is made of it."""
    top = data_root.scratch / "layer-upper.held"
    top.mkdir()
    (top / "made").write_bytes(b"made" * 1000)
    os.utime(top / "made", (1, 1))
    os.utime(top, (1, 1))
    with layers.leasing():
        chain_id = layers.adopt(str(top), "").chain_id
        compose(images, layers, chain_id=chain_id, config={}, entry={}, names=(reference,))


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            Steps(int(line)).watch()
            run(*sys.argv[1:])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            print("killed", flush=True)
        else:
            print("done" if status == 0 else f"failed with {status}", flush=True)


if __name__ == "__main__":
    main()
