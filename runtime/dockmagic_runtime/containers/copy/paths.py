"""Docker's rules for the source, destination and names of `cp`, without access to files.

A path that ends in `/` or `/.` claims to be a directory; `/.` means the directory's contents. The
rules depend on these endings, so cleaning keeps them. Links inside a container are read by a
function that is passed in.
Sources: Docker's documentation of `docker cp`; outcomes compared with Docker 20.10 and its client.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound

MAX_LINKS: Final = 255
ReadLink = Callable[[str], str | None]


class CopySource(Struct, frozen=True, kw_only=True):
    """`name` is the name of the archive's first member: the file's, or that of the link that led to
    it; "." for the contents of a directory."""

    name: str
    is_directory: bool


class Target(Struct, frozen=True, kw_only=True):
    """The requested destination, links at its end followed."""

    path: str
    exists: bool = False
    is_directory: bool = False


class Placement(Struct, frozen=True, kw_only=True):
    """The directory to unpack in, which exists, and the name of the first member."""

    directory: str
    member: str


def place(origin: CopySource, target: Target) -> Placement:
    """Docker's decision. Raises Conflict or NotFound for an impossible copy."""
    if target.is_directory:
        return Placement(directory=target.path, member=origin.name)
    if target.exists and origin.is_directory:
        raise Conflict("cannot copy directory", hint=f"{target.path} is a file")
    if not target.exists and not origin.is_directory and claims_directory(target.path):
        raise NotFound("no such directory", hint=f"{target.path} does not exist")
    directory, member = split(target.path)
    return Placement(directory=directory, member=member)


def claims_directory(path: str) -> bool:
    return path.endswith("/") or is_contents(path)


def is_contents(path: str) -> bool:
    """Whether the path ends in `/.`: the contents of the directory, not the directory itself."""
    return posixpath.basename(path) == "."


def clean(path: str) -> str:
    """The path without `.`, `..` and double slashes, with its ending (`/` or `/.`)."""
    ending = "/." if is_contents(path) else "/" if path.endswith("/") else ""
    cleaned = posixpath.normpath(path) if path else "."
    if cleaned.startswith("//"):  # POSIX lets exactly two slashes mean something else
        cleaned = cleaned[1:]
    if cleaned == "/":
        return "/." if ending == "/." else "/"
    return cleaned if cleaned == "." and ending == "/." else cleaned + ending


def split(path: str) -> tuple[str, str]:
    """Directory and last name; the name is "." for a path that ends in one."""
    cleaned = posixpath.normpath(path)
    if is_contents(path):
        return cleaned, "."
    return posixpath.dirname(cleaned) or ".", posixpath.basename(cleaned) or "/"


def inside(path: str) -> str:
    """An absolute path in a container. Raises InvalidInput for an empty one."""
    if not path:
        raise InvalidInput("bad parameter: path cannot be empty")
    return clean(f"/{path}")


def base(path: str) -> str:
    """The name of `path` in its archive: "." for contents, "/" for the root."""
    return split(path)[1]


def follow(path: str, read_link: ReadLink) -> str:
    """`path` inside a root with every link followed; the target need not exist.

    `read_link` returns a link's text, None for other files. Raises InvalidInput for a loop.
    """
    pending = [part for part in reversed(path.split("/")) if part]
    resolved: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            resolved = resolved[:-1]  # above the root there is only the root
        elif part != ".":
            text = read_link("/" + "/".join((*resolved, part)))
            if text is None:
                resolved.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                raise InvalidInput(f"evalSymlinksInScope: too many links in {path}")
            if text.startswith("/"):
                resolved = []
            pending += [part for part in reversed(text.split("/")) if part]
    return "/" + "/".join(resolved)


def split_argument(text: str) -> tuple[str, str]:
    """An argument of `cp` as (container, path); the container is "" for the host.

    An argument that begins with a slash or a dot is a path of the host, even with colons.
    """
    container, colon, path = text.partition(":")
    if text.startswith(("/", ".")) or not colon:
        return "", text
    return container, path
