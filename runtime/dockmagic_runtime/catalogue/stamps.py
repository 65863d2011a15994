"""What a stand-in was made from, so that one that is here is not made again to see that it is.

A stamp is a file in the area for each recipe: a digest of the facts, and the image they gave.
The facts are what can be looked at in a millisecond, files by their size and time; apt and pip,
which take seconds, are asked when a stand-in is made. It serves as long as a root does.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from dockmagic_runtime.catalogue.recipe import Recipe
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE, write_file

ROOT_LIFETIME: Final = 7 * 24 * 3600.0  # seconds: then it lacks a week of security updates
_ROOM: Final = Path(__file__).parent
_HOST_FILES: Final = ("/etc/os-release", "/etc/apt", "/usr/local/share/ca-certificates")
_PATHS: Final = "/usr/sbin:/sbin:/bin"


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """The last image of a recipe. `root_time`: of its root, in seconds since the epoch."""

    facts: str
    image: str
    root_time: float


def path(shelf: Path, recipe: Recipe) -> Path:
    return shelf / f"{recipe.folder.name}.json"


def image_of(shelf: Path, recipe: Recipe, settings: Iterable[object]) -> str:
    """The id of the image that the recipe would give again, or "" if that is not known."""
    try:
        stamp = msgspec.json.decode(path(shelf, recipe).read_bytes(), type=Stamp)
    except (FileNotFoundError, msgspec.DecodeError):
        return ""
    age = time.time() - stamp.root_time
    is_fresh = 0 <= age < ROOT_LIFETIME and stamp.facts == facts(recipe, settings)
    return stamp.image if is_fresh else ""


def write(shelf: Path, recipe: Recipe, stamp: Stamp) -> None:
    """On a full disk there is none: the image is there all the same, and is made again."""
    try:
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(str(path(shelf, recipe)), msgspec.json.encode(stamp))
    except OSError as error:
        if error.errno not in DISK_UNWRITABLE:
            raise


def facts(recipe: Recipe, settings: Iterable[object]) -> str:
    """A digest of what the recipe is made from here; `settings` are those of this process."""
    files = [*_tree(str(_ROOM)), *_programs()]
    if recipe.root != "applets":
        files += [line for name in _HOST_FILES for line in _tree(name)]
    return hashlib.sha256(repr((recipe.name, tuple(settings), files)).encode()).hexdigest()


def _programs() -> Iterator[str]:
    for folder in f"{os.environ.get('PATH', '')}:{_PATHS}".split(":"):
        yield from _entry(f"{folder}/busybox")


def _tree(top: str) -> Iterator[str]:
    yield from _entry(top)
    for folder, folders, names in os.walk(top):
        folders.sort()
        if folder.rpartition("/")[2] != "__pycache__":
            for name in sorted(names):
                yield from _entry(f"{folder}/{name}")


def _entry(name: str) -> Iterator[str]:
    try:
        status = os.stat(name)
    except OSError:
        return  # there is none, as far as this process can see
    if not stat.S_ISDIR(status.st_mode):
        yield f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
