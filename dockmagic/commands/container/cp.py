"""`docker cp`: files between a container and this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.archives import check_stdout, read_stdin
from dockmagic.commands.output.result import Chunk, Event, Nothing, Outcome, Result, notice
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.containers.copy import paths
from dockmagic_runtime.containers.copy.paths import CopySource, Target
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="cp",
        usage="[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
        summary="Copy files/folders between a container and the local filesystem",
        minimum=2,
        maximum=2,
        flags=(
            switch("archive", "a", "Archive mode (copy all uid/gid information)"),
            switch("follow-link", "L", "Always follow symbol link in SRC_PATH"),
            switch(
                "quiet",
                "q",
                "Suppress progress output during copy. Progress output is automatically "
                "suppressed if no terminal is attached",
            ),
        ),
        also="Use '-' as the source to read a tar archive from stdin\n"
        "and extract it to a directory destination in a container.\n"
        "Use '-' as the destination to stream a tar archive of a\n"
        "container source to stdout.",
    )


class Copied(Result, frozen=True):
    """How many bytes of archive went where. `quiet` None lets a terminal decide."""

    size: int
    destination: str
    quiet: bool | None = None

    def text(self) -> str:
        return f"Successfully copied {decimal_size(self.size)} to {self.destination}"

    def stable(self) -> str:
        return f"Successfully copied to {self.destination}"

    def rows(self) -> list[dict[str, Any]]:
        return [{"destination": self.destination, "size": self.size}]

    def chunks(self) -> Iterator[Chunk]:
        is_quiet = not sys.stdout.isatty() if self.quiet is None else self.quiet
        if not is_quiet:
            yield notice(self.text())


class _Options(Struct, frozen=True):
    archive: bool
    follow_link: bool
    quiet: bool | None


def run(engine: EngineApi, arguments: Arguments) -> Outcome:
    for word, what in zip(arguments.words, ("source", "destination"), strict=True):
        if not word:
            raise arguments.wrong(f"{what} can not be empty", exit_code=1)
    source, destination = map(paths.split_argument, arguments.words)
    options = _Options(
        arguments.flag("archive"),
        arguments.flag("follow-link"),
        arguments.flag("quiet") if arguments.is_given("quiet") else None,
    )
    if source[0] and destination[0]:
        raise InvalidInput("copying between containers is not supported")
    if source[0]:
        return _out(engine, *source, destination[1], options)
    if destination[0]:
        return _in(engine, source[1], *destination, options)
    raise InvalidInput("must specify at least one container source")


class _Counted:
    """Chunks on their way, and how many bytes they were."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk


# ------------------------------------------------------------------ out of a container


def _out(engine: EngineApi, name: str, path: str, destination: str, options: _Options) -> Outcome:
    if destination == "-":
        check_stdout(terminal_is_fine=True)
        return _to_stdout(engine, name, path, options)
    from dockmagic_runtime.containers.copy import host

    destination = host.absolute(destination)
    target = host.target(destination)
    origin, path = _origin(engine, name, path, follow_link=options.follow_link)
    placement = paths.place(origin, target)
    _, stream = engine.containers.get_archive(name, path, member=_member(placement.member))
    with stream:
        counted = _Counted(stream)
        host.unpack(iter(counted), placement, keep_owner=options.archive)
    return Copied(counted.size, destination, options.quiet)


def _origin(
    engine: EngineApi, name: str, path: str, *, follow_link: bool
) -> tuple[CopySource, str]:
    """What will be copied, under the name it was asked for, and where it is."""
    stat = engine.containers.path_stat(name, path)
    base = paths.base(paths.inside(path))
    if follow_link and stat.is_link:
        path = stat.link_target
        stat = engine.containers.path_stat(name, path)
    return CopySource(name=base, is_directory=stat.is_directory), path


def _member(name: str) -> str:
    return "." if name == "/" else name  # a whole container is what its root holds


def _to_stdout(engine: EngineApi, name: str, path: str, options: _Options) -> Iterator[Event]:
    _, stream = engine.containers.get_archive(name, path, follow_link=options.follow_link)
    with stream:
        for chunk in stream:
            yield Chunk("stdout", chunk)
    yield Nothing()


# ------------------------------------------------------------------ into a container


def _in(engine: EngineApi, path: str, name: str, destination: str, options: _Options) -> Outcome:
    target = _target(engine, name, destination)
    if path == "-":
        return _from_stdin(engine, name, destination, target, options)
    from dockmagic_runtime.containers.copy import host
    from dockmagic_runtime.images.compression import Plain

    source = host.source(host.absolute(path), follow_link=options.follow_link)
    placement = paths.place(source.origin, target)
    counted = _Counted(source.tar(_member(placement.member)))
    engine.containers.put_archive(
        name,
        placement.directory,
        Plain(counted),
        copy_uid_gid=options.archive,
        no_overwrite_dir_non_dir=True,
    )
    return Copied(counted.size, f"{name}:{target.path}", options.quiet)


def _target(engine: EngineApi, name: str, path: str) -> Target:
    """The destination, a link at its end followed; whatever is wrong with it, copying will say."""
    engine.containers.get(name)
    target = Target(path=path)
    try:
        stat = engine.containers.path_stat(name, path)
        if stat.is_link:
            target = Target(path=stat.link_target)
            stat = engine.containers.path_stat(name, target.path)
    except DockmagicError:
        return target
    return replace(target, exists=True, is_directory=stat.is_directory)


def _from_stdin(
    engine: EngineApi, name: str, destination: str, target: Target, options: _Options
) -> Result:
    if not target.is_directory:
        raise Conflict(f'destination "{name}:{destination}" must be a directory')
    engine.containers.put_archive(
        name,
        target.path,
        read_stdin(),
        copy_uid_gid=options.archive,
        no_overwrite_dir_non_dir=True,
    )
    return Nothing()
