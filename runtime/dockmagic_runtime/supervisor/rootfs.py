"""A container's tree as a descriptor, handed to the engine from where the tree can be seen.

Strategy: an engine that copies out of a container or into it gets a descriptor of its root
directory, with everything that is mounted in it, and resolves each path inside that root itself
(`linux.root`). So nothing is mounted a second time on the host for a copy (CVE-2026-42306), no
process runs with the container's root as its own (CVE-2019-14271, CVE-2026-41567), and a link that
is swapped meanwhile leads somewhere else inside, never out (CVE-2018-15664): the container need not
be frozen. For a container that does not run the mounts are made for this, in a namespace that
lives as long as its descriptor does.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Final

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.operation import Context, Operation, from_wire, to_wire
from dockmagic_runtime.supervisor import protocol
from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.error_message import rebuild_error

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NAMESPACE: Final = "/proc/self/ns/mnt"


# ------------------------------------------------------------------ in the supervisor


def open_root_of(linux: Linux, pidfd: int, *, mounts: bool) -> int:
    """The root of the mount namespace of a process; without `mounts`, of its root mount alone.

    The caller must have one thread: it is in that namespace for two calls.
    """
    own = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            linux.setns(pidfd, c.CLONE_NEWNS)
        except ProcessLookupError:
            raise Conflict("the container has just ended") from None
        try:
            if mounts:
                return linux.openat2(c.AT_FDCWD, "/", _DIRECTORY, 0, 0)
            return linux.open_tree(c.AT_FDCWD, "/", c.OPEN_TREE_CLONE)
        finally:
            linux.setns(own, c.CLONE_NEWNS)
    finally:
        os.close(own)


def build(linux: Linux, owner: socket.socket, payload: bytes) -> None:
    """In a process of its own: make the mounts, send root and namespace to `owner`."""
    try:
        os.umask(0)  # the modes of mount points are meant as they are written
        linux.unshare(c.CLONE_NEWNS)
        namespace = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        child.execute_all(from_wire(lenient_json.decode(payload)), Context(linux))
        root = linux.openat2(c.AT_FDCWD, "/", _DIRECTORY, 0, 0)
    except BaseException as error:
        owner.sendall(protocol.control("failed", error=child.describe_error(error)))
    else:
        socket.send_fds(owner, [protocol.control("tree")], [root, namespace])


def encode(operations: tuple[Operation, ...]) -> bytes:
    return lenient_json.encode(to_wire(operations))


# ------------------------------------------------------------------ in the engine


def receive(connection: socket.socket) -> list[int]:
    """The descriptors of the answer. Raises what the other side failed with, and Conflict."""
    reader = protocol.FrameReader()
    with ExitStack() as undo:
        received: list[int] = []
        while True:
            data, fds = receive_fds(connection, 4096, 2)
            for fd in fds:
                undo.callback(os.close, fd)
            received += fds
            if not data:
                raise Conflict("the container ended before its files could be seen")
            for _, payload in reader.feed(data):
                message = lenient_json.decode(payload)
                if message["verb"] == "failed":
                    raise rebuild_error(message["error"])
                undo.pop_all()
                return received


def ask(run: str, container_id: str, *, mounts: bool) -> int:
    """The root of a container that runs, from its supervisor. Raises Conflict."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(f"{run}/sock")
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Conflict(f"Container {container_id} is not running") from error
        try:
            connection.sendall(protocol.control("tree", mounts=mounts))
            (root,) = receive(connection)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Conflict("the supervisor ended before the files could be seen") from error
        return root
