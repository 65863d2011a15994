"""Where a copy goes and what it is called there: Docker's rules for `cp`, without touching a file.

A path that ends in `/` or `/.` claims to be a directory; `/.` besides means "what is in it". These
endings survive cleaning, since everything below depends on them. Links inside a container are read
by a function that is passed in, so the same code serves trees, and tests without any.
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
    """What is copied. `name` is what it is called in the archive: its own name, or that of the
    link by which it was found; "." for what a directory holds."""

    name: str
    is_directory: bool


class Target(Struct, frozen=True, kw_only=True):
    """Where it was asked to go, links at the end followed."""

    path: str
    exists: bool = False
    is_directory: bool = False


class Placement(Struct, frozen=True, kw_only=True):
    """The directory to unpack in, which has to exist, and the name of the first member."""

    directory: str
    member: str


def place(origin: CopySource, target: Target) -> Placement:
    """Docker's decision. Raises Conflict, NotFound for what cannot be."""
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
    """Whether the path ends in a dot of its own: what is in the directory, not the directory."""
    return posixpath.basename(path) == "."


def clean(path: str) -> str:
    """Without `.`, `..` and double slashes, but with the ending that `path` has."""
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
    """A path of a container, which always begins at its root. Raises InvalidInput for none."""
    if not path:
        raise InvalidInput("bad parameter: path cannot be empty")
    return clean(f"/{path}")


def base(path: str) -> str:
    """What an archive of `path` calls it: "." for the contents, "/" for the root."""
    return split(path)[1]


def follow(path: str, read_link: ReadLink) -> str:
    """`path` inside a root with every link followed, also to what does not exist.

    `read_link` gives a link's text and None for everything else. Raises InvalidInput for a loop.
    """
    pending = [part for part in reversed(path.split("/")) if part]
    found: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            found = found[:-1]  # above the root there is only the root
        elif part != ".":
            text = read_link("/" + "/".join((*found, part)))
            if text is None:
                found.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                raise InvalidInput(f"evalSymlinksInScope: too many links in {path}")
            if text.startswith("/"):
                found = []
            pending += [one for one in reversed(text.split("/")) if one]
    return "/" + "/".join(found)


def split_argument(text: str) -> tuple[str, str]:
    """A word of the command line as (container, path); the container is "" for the host.

    A word that begins with a slash or a dot is a path of the host, whatever colons it has.
    """
    container, colon, path = text.partition(":")
    if text.startswith(("/", ".")) or not colon:
        return "", text
    return container, path
