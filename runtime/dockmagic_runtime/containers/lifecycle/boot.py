"""Whether the machine has been started anew since an engine last looked.

The first engine after that starts the containers that their restart policy brings back.
"""

from __future__ import annotations

import os

from dockmagic_runtime.store.atomic import write_file
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database


def is_new(data_root: DataRoot) -> bool:
    """Whether the machine, or the file system of /run, has been started since `record`."""
    return _recorded(data_root) != _present(data_root)


def record(data_root: DataRoot, database: Database) -> bool:
    """Records this start of the machine. Returns whether no engine had recorded it before."""
    if not is_new(data_root):
        return False
    with database.transaction():  # only one engine starts the containers
        if not is_new(data_root):
            return False
        write_file(_path(data_root), _present(data_root))
    return True


def _present(data_root: DataRoot) -> bytes:
    """The kernel's boot id, and the inode of the run directory."""
    status = os.stat(data_root.run_path)
    with open("/proc/sys/kernel/random/boot_id", "rb") as stream:
        boot_id = stream.read().strip()
    return b"%b %d:%d" % (boot_id, status.st_dev, status.st_ino)


def _recorded(data_root: DataRoot) -> bytes:
    try:
        with open(_path(data_root), "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def _path(data_root: DataRoot) -> str:
    return f"{data_root.path}/boot"
