"""Contexts from elsewhere: archives, files on servers and Git repositories become directories.

All is done before the Dockerfile is read, which may be in there.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from dockmagic_runtime.builder.context import git
from dockmagic_runtime.builder.context.scratch import Scratch
from dockmagic_runtime.builder.plan.git_source import GitSource
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.build import BuildRequest, Readable

_HTTP: Final = ("http://", "https://")
_HEAD: Final = 512
_TAR: Final = (257, b"ustar")
_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


def is_address(text: str) -> bool:
    """Whether a context is to be fetched: else it is a directory of the host."""
    return text.startswith(_HTTP) or GitSource.parse(text) is not None


def localized(request: BuildRequest, scratch: Scratch) -> BuildRequest:
    """The same request with directories for contexts, and the Dockerfile's text."""
    if request.context_tar is not None:
        request = _from_stream(request, request.context_tar, scratch)
    elif request.context is not None and is_address(request.context):
        request = _from_address(request, request.context, scratch)
    contexts = {
        name: _directory(address, scratch) if is_address(address) else address
        for name, address in request.build_contexts.items()
    }
    request = replace(request, build_contexts=contexts)
    return request if request.dockerfile is not None else _with_dockerfile(request)


def load_name(request: BuildRequest) -> str:
    """What BuildKit calls the step that fetches the context; "" for a directory."""
    context = request.context or ""
    if request.context_tar is not None:
        return "[internal] load remote build context"
    if GitSource.parse(context) is not None:
        return f"[internal] load git source {context}"
    return "[internal] load remote build context" if is_address(context) else ""


def _with_dockerfile(request: BuildRequest) -> BuildRequest:
    if request.context is None:
        raise InvalidInput("there is neither a Dockerfile nor a build context")
    with _opened(request.context) as root:
        try:
            text = root.read(request.file_name).decode("utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"failed to read dockerfile: open {request.file_name}: no such file or directory"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"failed to read dockerfile: open {request.file_name}: {error}"
            ) from None
    return replace(request, dockerfile=text)


def _opened(context: str) -> Root:
    try:
        return Root.at(context)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f'unable to prepare context: path "{context}" not found') from None


def _from_stream(request: BuildRequest, stream: Readable, scratch: Scratch) -> BuildRequest:
    """An archive is the context; anything else is the Dockerfile, without a context."""
    head = _read(stream, _HEAD)
    if not _is_archive(head):
        rest = b"".join(iter(lambda: stream.read(1 << 16), b""))
        try:
            text = (head + rest).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidInput("the input is neither an archive nor a Dockerfile") from None
        return replace(request, context_tar=None, context=None, dockerfile=text)
    from dockmagic_runtime.images.unpack import unpack

    directory = str(scratch.directory())
    unpack(_Joined(head, stream), directory)
    return replace(request, context_tar=None, context=directory)


def _from_address(request: BuildRequest, address: str, scratch: Scratch) -> BuildRequest:
    if GitSource.parse(address) is not None:
        return replace(request, context=_directory(address, scratch))
    with _fetched(address, scratch).open("rb") as stream:
        return _from_stream(replace(request, context=None), stream, scratch)


def _directory(address: str, scratch: Scratch) -> str:
    source = GitSource.parse(address)
    directory = str(scratch.directory())
    if source is None:
        from dockmagic_runtime.images.unpack import unpack

        with _fetched(address, scratch).open("rb") as stream:
            unpack(stream, directory)
        return directory
    git.checkout(source, git.commit_of(source), directory, keep_git_dir=False)
    if not source.directory:
        return directory
    with Root.at(directory) as root:
        if not root.is_real_dir(source.directory):
            raise NotFound(f"repository {source.url} has no directory {source.directory}")
    return os.path.join(directory, source.directory)  # noqa: PTH118 - as it is written


def _fetched(address: str, scratch: Scratch) -> Path:
    from dockmagic_runtime.builder.context.fetch import fetch

    directory = scratch.directory()
    fetched = fetch(address, str(directory))
    assert fetched is not None
    return directory / fetched.name


def _is_archive(head: bytes) -> bool:
    offset, magic = _TAR
    return head.startswith(_COMPRESSED) or head[offset:].startswith(magic)


def _read(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.read(size - len(data))):
        data += piece
    return data


class _Joined:
    """What was read already, then the rest."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def read(self, size: int = 1 << 16, /) -> bytes:
        return self._head.read(size) or self._rest.read(size)
