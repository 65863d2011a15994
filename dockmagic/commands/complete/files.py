"""Paths: of the host, and in containers and images; programs are paths in a container's PATH."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dockmagic.commands.complete.candidate import Candidate
from dockmagic.commands.complete.objects import GetEngine
from dockmagic.commands.complete.words import Words
from dockmagic_runtime.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic_runtime.model.container import PathStat

List = Callable[[str], "Sequence[PathStat]"]

PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_MOST: Final = 2000  # entries of a directory
_DIRECTORY_VERBS: Final = frozenset(("build",))
_FILE_VERBS: Final = frozenset(("cp", "import", "load"))


def named_by(engine: GetEngine, verb: str, words: Words) -> Iterator[Candidate]:
    """The paths and programs that the words of a verb may name."""
    plain, typed = words.plain, words.typed
    if verb in _DIRECTORY_VERBS:
        yield from of_host(typed, directories=True)
    elif verb == "cp" and ":" in typed:
        name, _, path = typed.partition(":")
        yield from prefixed(f"{name}:", _absolute(of_container(engine, name), path))
    elif verb in _FILE_VERBS:
        yield from of_host(typed)
    elif verb in ("exec", "run", "create", "explain") and plain:
        where = of_container if verb == "exec" else of_image
        yield from _command(where(engine, plain[0]), typed, is_program=len(plain) == 1)


def of_container(engine: GetEngine, name: str) -> List:
    """Lists directories of a container."""
    return lambda path: engine().containers.list_directory(name, path, limit=_MOST)


def of_image(engine: GetEngine, reference: str) -> List:
    """Lists directories of an image."""
    return lambda path: engine().images.list_directory(reference, path, limit=_MOST)


def _command(listing: List, typed: str, *, is_program: bool) -> Iterator[Candidate]:
    """The words of a command in a container: first a program, then paths that begin with `/`."""
    if typed.startswith("/"):
        yield from inside(listing, typed, programs=is_program)
    elif is_program:
        yield from programs(listing)


def programs(listing: List) -> Iterator[Candidate]:
    """The programs in the directories where a container looks for them."""
    for directory in PATH:
        for entry in _entries(listing, directory):
            if _is_program(entry):
                yield Candidate(entry.name, directory, "program")


def inside(listing: List, typed: str, *, programs: bool = False) -> Iterator[Candidate]:
    """Paths that begin with `typed`; a directory ends in `/`."""
    head, slash, _ = typed.rpartition("/")
    for entry in _entries(listing, head or "/"):
        path = f"{head}{slash}{entry.name}"
        if entry.is_directory:
            yield Candidate(f"{path}/", "", "path", is_open=True)
        elif not programs or _is_program(entry):
            yield Candidate(path, "", "path")


def _absolute(listing: List, typed: str) -> Iterator[Candidate]:
    yield from inside(listing, typed if typed.startswith("/") else "/")


def prefixed(prefix: str, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    """The candidates behind what is typed before them in the same word."""
    for hit in candidates:
        yield Candidate(f"{prefix}{hit.text}", hit.about, hit.kind, is_open=hit.is_open)


def _is_program(entry: PathStat) -> bool:
    return not entry.is_directory and (entry.is_link or bool(entry.mode & 0o111))


def _entries(listing: List, path: str) -> Sequence[PathStat]:
    try:
        return listing(path)
    except (DockmagicError, OSError):
        return ()  # not there, or not to be read: nothing to offer


def of_host(typed: str, *, directories: bool = False) -> Iterator[Candidate]:
    """Paths of the host that begin with `typed`; hidden ones only if it asks for them."""
    head, slash, start = typed.rpartition("/")
    folder = os.path.expanduser(f"{head}{slash}") or "."  # noqa: PTH111 - text, not a file
    try:
        with os.scandir(folder) as entries:
            for entry, _ in zip(entries, range(_MOST), strict=False):
                if entry.name.startswith(".") and not start.startswith("."):
                    continue
                if entry.is_dir():
                    yield Candidate(f"{head}{slash}{entry.name}/", "", "path", is_open=True)
                elif not directories:
                    yield Candidate(f"{head}{slash}{entry.name}", "", "path")
    except OSError:
        return
