"""The host's side of `cp`: resolves the caller's paths, reads and unpacks tars there.

These paths are the caller's, so links in them are followed as by any program. Below the destination
no link is followed: the archive comes from a container.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from dockmagic_runtime.containers.copy import paths
from dockmagic_runtime.containers.copy.extract import Destination, Rules, extract
from dockmagic_runtime.containers.copy.paths import CopySource, Placement, Target
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.images.tar.writer import TreeArchive

_LINKS: Final = 10  # at the end of a destination, as in Docker's client
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class HostSource(Struct, frozen=True, kw_only=True):
    """A file or directory of the host: `name` in the directory `directory`."""

    directory: str
    name: str
    origin: CopySource

    def tar(self, member: str) -> Iterator[bytes]:
        """Its tar; the first member is named `member`."""
        fd = os.open(self.directory, _DIRECTORY)
        try:
            yield from TreeArchive().one(fd, self.name, member)
        finally:
            os.close(fd)


def absolute(path: str) -> str:
    """The absolute path, with the ending of `path` (`/` or `/.`)."""
    return paths.clean(path if path.startswith("/") else f"{os.getcwd()}/{path}")


def source(path: str, *, follow_link: bool = False) -> HostSource:
    """Resolves an absolute path as a source.

    A link at its end is followed if `follow_link`, or if the path claims a directory. Raises
    NotFound, Conflict, InvalidInput.
    """
    try:
        if follow_link or paths.claims_directory(path):
            directory, name = os.path.split(os.path.realpath(path, strict=True))
        else:
            directory, name = os.path.split(path)
            directory = os.path.realpath(directory, strict=True)
        status = os.lstat(f"{directory}/{name}")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidInput("EvalSymlinks: too many links", hint=path) from error
        raise _failure(error, "lstat", error.filename or path) from error
    is_directory = stat.S_ISDIR(status.st_mode)
    if paths.claims_directory(path) and not is_directory:
        raise Conflict("not a directory", hint=path)
    origin = CopySource(name=paths.base(path), is_directory=is_directory)
    return HostSource(directory=directory, name=name or ".", origin=origin)


def target(path: str) -> Target:
    """Resolves an absolute path as a destination; links at its end are followed."""
    _check_output(path)
    place = path
    for _ in range(_LINKS + 1):
        try:
            status = os.lstat(place)
        except FileNotFoundError:
            return Target(path=place)
        except OSError as error:
            raise _failure(error, "lstat", place) from error
        if not stat.S_ISLNK(status.st_mode):
            return Target(path=place, exists=True, is_directory=stat.S_ISDIR(status.st_mode))
        place = os.path.normpath(os.path.join(os.path.dirname(place), os.readlink(place)))
    raise InvalidInput(f"too many symlinks in {path}")


def _check_output(path: str) -> None:
    """As in Docker's client: the parent directory must exist, and the target be no device."""
    directory = paths.split(path.rstrip("/."))[0]
    if not os.path.exists(directory):
        raise NotFound(f'invalid output path: directory "{directory}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failure(error, "stat", path) from error
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise InvalidInput(
            f'invalid output path: "{path}" must be a directory or a regular file: got a device'
        )


def unpack(chunks: Iterator[bytes], placement: Placement, *, keep_owner: bool = False) -> None:
    """Unpacks a tar in the directory; its members have their final names.

    Without `keep_owner` the caller owns all files. Raises Conflict, NotFound.
    """
    directory = placement.directory
    try:
        fd = os.open(directory, _DIRECTORY)
    except OSError as error:
        raise _failure(error, "lstat", directory) from error
    try:
        shown = os.path.normpath(directory)
        extract(chunks, Destination(fd=fd, shown=shown), Rules(keep_owner=keep_owner))
    finally:
        os.close(fd)


def _failure(error: OSError, call: str, path: str) -> DockmagicError:
    reason = os.strerror(error.errno or 0).lower()
    if error.errno == errno.ELOOP:
        return InvalidInput(f"{call} {path}: {reason}")
    if error.errno == errno.ENOENT:
        return NotFound(f"{call} {path}: {reason}")
    if error.errno == errno.ENOTDIR and call == "lstat" and paths.claims_directory(path):
        return Conflict("not a directory", hint=path)
    return Conflict(f"{call} {path}: {reason}")
