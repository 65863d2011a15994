"""`docker import`: an image with the contents of an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from dockmagic.commands.container.commit import MadeImage
from dockmagic.commands.options.flags import Arguments, Parser, value, values
from dockmagic.commands.options.platform import IMAGE_FLAGS
from dockmagic.commands.output.archives import read_stdin
from dockmagic.commands.output.files import opened
from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.model.commit import ImportSpec

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_TIMEOUT = 60.0  # seconds without a byte from a server


class Archive(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def parser() -> Parser:
    return Parser(
        verb="import",
        usage="[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        summary="Import the contents from a tarball to create a filesystem image",
        minimum=1,
        flags=(
            values("change", "c", "Apply Dockerfile instruction to the created image"),
            value("message", "m", "Set commit message for imported image"),
            IMAGE_FLAGS[0],
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> MadeImage:
    source, reference = [*arguments.words, ""][:2]  # Docker passes over further words
    is_remote = source.startswith(("http://", "https://"))
    spec = ImportSpec(
        reference=reference,
        message=arguments.flag("message") or f"Imported from {source if is_remote else '-'}",
        changes=arguments.flag("change"),
    )
    with _opened(source, is_remote=is_remote) as archive:
        return MadeImage(engine.images.import_image(archive, spec), spec.reference)


@contextmanager
def _opened(source: str, *, is_remote: bool) -> Iterator[Archive]:
    if source == "-":
        yield read_stdin()
    elif is_remote:
        with _fetched(source) as archive:
            yield archive
    else:
        with opened(source) as archive:
            yield archive


@contextmanager
def _fetched(url: str) -> Iterator[Archive]:
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    request = Request(url, headers={"User-Agent": "dockmagic"})
    try:
        with urlopen(request, timeout=_TIMEOUT) as answer:
            yield answer
    except (URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise RemoteFailed(f"cannot download {url}: {reason}") from error
