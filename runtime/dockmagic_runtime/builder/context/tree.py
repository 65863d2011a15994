"""What COPY takes: a tree (build context, stage, image), the sources chosen in it, their digest.

All access is by descriptors below one `Root`; `..` in a source ends at its top. The same walk
gives the digest that the cache asks for and the files that are copied, so they cannot differ.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Generator, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.builder.context.file_digests import FileDigests
from dockmagic_runtime.dockerfile.errors import near
from dockmagic_runtime.dockerfile.gopattern import has_wildcards, match
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.linux.root import Root

_NOTHING: Final = IgnoreRules(())


class Item(Struct):
    """One thing to copy: `path` is relative to its source, "" for the source itself.

    `name` in the directory `parent_fd` is where it is, good until the next item is asked for;
    -1 for a directory that is shown late, of which only the status is known.
    """

    path: str
    parent_fd: int
    name: str
    status: os.stat_result

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class Source(Struct, frozen=True):
    """One source that was found: its path in the tree, and the name it goes by.

    With `--parents`, `above` are the directories that come along, from `pivot` on.
    """

    path: str
    name: str
    is_dir: bool
    above: str = ""
    pivot: str = ""


class SourceTree(Struct, frozen=True):
    """A tree to copy from. `owned` keeps the owners; the build context's files are root's."""

    root: Root
    rules: IgnoreRules = _NOTHING
    owned: bool = False
    digests: FileDigests | None = None

    def find(self, patterns: Sequence[str], *, parents: bool = False) -> list[Source]:
        """The sources that the words of a COPY name.

        A pattern with wildcards may match nothing, as in BuildKit. Raises NotFound for a plain
        name that is missing.
        """
        find = self._find_with_parents if parents else self._find
        return [source for pattern in patterns for source in find(pattern)]

    def _find_with_parents(self, pattern: str) -> list[Source]:
        """`a/./b/c`: what is before the dot does not come along."""
        before, dot, _ = pattern.partition("/./")
        pivot = posixpath.normpath(posixpath.join("/", before)).strip("/") if dot else ""
        return [
            replace(
                source,
                above=posixpath.dirname(source.path.removeprefix(pivot).lstrip("/")),
                pivot=pivot,
            )
            for source in self._find(pattern, deep=True)
        ]

    def _find(self, pattern: str, *, deep: bool = False) -> list[Source]:
        """`deep`: two stars are any number of directories, none included."""
        path = posixpath.normpath(posixpath.join("/", pattern)).lstrip("/")
        paths = self._glob(path.split("/"), deep=deep) if has_wildcards(path) else [path]
        sources = [source for path in paths if (source := self._source(path)) is not None]
        if not sources and not has_wildcards(path):
            raise NotFound(self._missing(path), hint=self._meant(path))
        return sources

    def _missing(self, path: str) -> str:
        where = (
            "in the source image" if self.owned else "in build context or excluded by .dockerignore"
        )
        return f"file not found {where}: stat {path}: file does not exist"

    def _meant(self, path: str) -> str:
        """What to do about a source that is not there."""
        if self.root.exists(path):
            return f"{path} is there, and .dockerignore leaves it out"
        above, name = posixpath.split(path)
        meant = near(name, tuple(self._names(above)))
        return f"did you mean {posixpath.join(above, meant)}?" if meant else ""

    def _source(self, path: str) -> Source | None:
        """The thing at `path`, links followed, unless it is missing or ignored altogether."""
        try:
            status = self.root.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_dir = stat.S_ISDIR(status.st_mode)
        source = Source(path, posixpath.basename(path), is_dir)
        if not path or not self.rules.excludes(path):
            return source
        return source if is_dir and self._holds_something(source) else None

    def _holds_something(self, source: Source) -> bool:
        items = self.items(source, _NOTHING)
        try:
            return any(item.path for item in items)
        finally:
            items.close()

    def _glob(self, parts: list[str], above: str = "", *, deep: bool = False) -> list[str]:
        """The paths that match, component by component: a star never matches a slash."""
        head, *rest = parts
        if deep and head == "**":
            tops = self._directories(above) if rest else [above]
            below = (path for top in tops for path in self._glob(rest or ["*"], top, deep=True))
            return list(dict.fromkeys(below))
        if has_wildcards(head):
            names = [name for name in self._names(above) if match(head, name)]
        else:
            names = [head]
        paths = [posixpath.join(above, name) for name in names]
        if not rest:
            return paths
        return [below for path in paths for below in self._glob(rest, path, deep=deep)]

    def _directories(self, top: str) -> list[str]:
        """The directory and all below it; links are not followed."""
        try:
            below = [directory for directory, _, _ in self.root.walk(top or ".")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [posixpath.join(top, directory) if directory else top for directory in below]

    def _names(self, directory: str) -> list[str]:
        try:
            return sorted(entry.name for entry in self.root.scandir(directory or "."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def items(self, source: Source, excludes: IgnoreRules) -> Generator[Item]:
        """The source itself, then all below it, parents first, what is ignored left out."""
        if not source.is_dir:
            yield from self._single(source)
            return
        # ignored directories are shown late, when something below them turns out to be wanted
        held: dict[str, Item] = {"": Item("", -1, "", self.root.stat(source.path))}
        for directory, fd, entries in self.root.walk(source.path or "."):
            prefix = f"{directory}/" if directory else ""
            if self.rules or excludes:
                yield from self._filtered(source, directory, fd, entries, excludes, held)
                continue
            if held:
                yield from _released(held, directory)
            for entry in entries:
                name = entry.name
                yield Item(prefix + name, fd, name, entry.stat(follow_symlinks=False))
        yield from _released(held, "")

    def _filtered(
        self,
        source: Source,
        directory: str,
        fd: int,
        entries: list[os.DirEntry[str]],
        excludes: IgnoreRules,
        held: dict[str, Item],
    ) -> Iterator[Item]:
        """The entries of one directory that are wanted; those not to be entered are removed."""
        for entry in list(entries):
            path = f"{directory}/{entry.name}" if directory else entry.name
            is_ignored = self.rules.excludes(f"{source.path}/{path}" if source.path else path)
            is_excluded = excludes.excludes(path)
            if not (is_ignored or is_excluded):
                yield from _released(held, directory)
                yield Item(path, fd, entry.name, entry.stat(follow_symlinks=False))
            elif (is_ignored and not self.rules.has_exceptions) or (
                is_excluded and not excludes.has_exceptions
            ):
                entries.remove(entry)
            elif entry.is_dir(follow_symlinks=False):
                held[path] = Item(path, -1, entry.name, entry.stat(follow_symlinks=False))

    def ignored(self) -> Generator[tuple[str, os.stat_result]]:
        """What the rules leave out: the topmost paths of it, with their status."""
        for directory, _, entries in self.root.walk("."):
            for entry in list(entries):
                path = f"{directory}/{entry.name}" if directory else entry.name
                is_dir = entry.is_dir(follow_symlinks=False)
                if self.rules.prunes(path) or (self.rules.excludes(path) and not is_dir):
                    entries.remove(entry)
                    yield path, entry.stat(follow_symlinks=False)

    def _single(self, source: Source) -> Generator[Item]:
        """A file: opened where its links lead, shown under its own name."""
        fd = self.root.open(source.path, os.O_PATH)
        try:
            yield Item("", fd, "", os.fstat(fd))
        finally:
            os.close(fd)

    def digest(
        self, sources: Sequence[Source], excludes: IgnoreRules
    ) -> tuple[str, dict[str, str]]:
        """The digest of all that would be copied, and that of each file by its path."""
        parts: list[str] = []
        files: dict[str, str] = {}
        digests = self.digests or FileDigests()
        for source in sources:
            parts += [*self._above(source), source.name, str(source.is_dir)]
            prefix = f"{source.path}/" if source.path else ""
            for item in self.items(source, excludes):
                digest = self._item_digest(item, digests)
                parts += [item.path, digest]
                if not stat.S_ISDIR(item.status.st_mode):
                    files[prefix + item.path if item.path else source.path] = digest
        parts.append("")
        whole = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape"))
        return whole.hexdigest(), files

    def _above(self, source: Source) -> Iterator[str]:
        """The directories that come along with it: their names and modes."""
        path = source.pivot
        for name in source.above.split("/") if source.above else ():
            path = posixpath.join(path, name)
            status = self.root.stat(path)
            owner = f"{status.st_uid}:{status.st_gid}" if self.owned else ""
            yield f"{name}/ {status.st_mode:o} {owner}"

    def _item_digest(self, item: Item, digests: FileDigests) -> str:
        status = item.status
        mode = status.st_mode
        owner = f"{status.st_uid}:{status.st_gid}" if self.owned else ""
        contents = ""
        if stat.S_ISREG(mode):
            contents = digests.of(item.parent_fd, item.name, status)
        elif stat.S_ISLNK(mode):
            contents = os.readlink(item.name, dir_fd=item.parent_fd)
        elif not stat.S_ISDIR(mode):
            contents = str(status.st_rdev)
        return f"{mode:o} {owner} {contents}"


def _released(held: dict[str, Item], directory: str) -> Iterator[Item]:
    """The directories that were held back above and at `directory`, outermost first."""
    if not held:
        return
    chain = [""]
    for name in directory.split("/") if directory else ():
        chain.append(f"{chain[-1]}/{name}" if chain[-1] else name)
    for path in chain:
        item = held.pop(path, None)
        if item is not None:
            yield item
