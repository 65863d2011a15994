"""In-root path resolution by hand: what openat2(RESOLVE_IN_ROOT) does, for where it is forbidden.

Strategy: one component at a time, each opened O_PATH|O_NOFOLLOW below the one before, symbolic
links read and spliced in as text. `..` is never asked of the kernel, whose answer can lie outside
the root when a directory is moved meanwhile: the remaining names are walked again from the root.
Links of procfs that lead elsewhere than their text says are followed as text, so they stay inside.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

MAX_LINKS: Final = 40  # the kernel's own limit
PATH_MAX: Final = 4096
DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

MakeDirectory = Callable[[int, str], None]


def failure(number: int, path: str) -> OSError:
    """The OSError (in its proper subclass) of `number` for `path`."""
    return OSError(number, os.strerror(number), path)


def check(path: str) -> None:
    """Refuse what the kernel would cut off or refuse."""
    if "\0" in path:
        raise failure(errno.EINVAL, path)
    if len(os.fsencode(path)) >= PATH_MAX:
        raise failure(errno.ENAMETOOLONG, path)


def resolve(
    root_fd: int, path: str, *, follow: bool, make: MakeDirectory | None = None
) -> tuple[int, str]:
    """The directory that holds the last component of `path`, and that component's name.

    The name is "." when the path ends in a directory's own name for itself (`/`, `a/`, `a/..`).
    With `follow`, links in the last component are followed too, so the name is none; it may be
    missing. `make` is called for each missing directory on the way, `(parent_fd, name)`.
    """
    check(path)
    position = _Position(root_fd)
    try:
        name = _advance(position, path, follow, make)
    except OSError as error:
        position.close()
        raise OSError(error.errno, error.strerror, path) from None
    except BaseException:
        position.close()
        raise
    return position.fd, name


def _components(path: str) -> list[str]:
    """The components, last first; a trailing slash counts as `.`, which demands a directory."""
    names = [name for name in path.split("/") if name]
    if path.endswith("/"):
        names.append(".")
    names.reverse()
    return names


def _advance(position: _Position, path: str, follow: bool, make: MakeDirectory | None) -> str:
    pending, links = _components(path), 0
    while pending:
        name = pending.pop()
        if name == ".":
            continue
        if name == "..":
            position.up()
            continue
        target = position.link(name) if pending or follow else None
        if target is not None:
            links += 1
            if links > MAX_LINKS:
                raise failure(errno.ELOOP, path)
            if target.startswith("/"):
                position.restart()
            pending += _components(target)
        elif pending:
            position.enter(name, make)
        else:
            return name
    return "."


class _Position:
    """Where a walk stands: a directory inside the root, by descriptor and by real names."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._names: list[str] = []
        self.fd = os.open(".", DIRECTORY, dir_fd=root_fd)

    def close(self) -> None:
        os.close(self.fd)

    def _move(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd

    def restart(self) -> None:
        self._names.clear()
        self._move(os.open(".", DIRECTORY, dir_fd=self._root_fd))

    def up(self) -> None:
        names = self._names[:-1]  # `..` of the root is the root
        self.restart()
        for name in names:
            self.enter(name, None)

    def enter(self, name: str, make: MakeDirectory | None) -> None:
        try:
            fd = os.open(name, DIRECTORY, dir_fd=self.fd)
        except FileNotFoundError:
            if make is None:
                raise
            make(self.fd, name)
            fd = os.open(name, DIRECTORY, dir_fd=self.fd)
        self._move(fd)
        self._names.append(name)

    def link(self, name: str) -> str | None:
        """The text of the link `name`; None when it is no link or is missing."""
        try:
            return os.readlink(name, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise
