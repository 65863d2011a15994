"""Git repositories as sources of ADD and as contexts, read with dulwich."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Final

from dockmagic_runtime.builder.plan.git_source import GitSource
from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.linux.remove_tree import remove_tree

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def commit_of(source: GitSource) -> str:
    """The commit that the source means now. Raises NotFound, RemoteFailed."""
    if _COMMIT.fullmatch(source.ref):
        return source.ref
    porcelain = _porcelain()
    try:
        refs = porcelain.ls_remote(source.url).refs
    except Exception as error:  # the library's errors have no common base
        raise _failed(source, error) from error
    names = [b"HEAD"] if not source.ref else _candidates(source.ref)
    for name in names:
        if commit := refs.get(name):
            return bytes(commit).decode()
    raise NotFound(f"repository {source.url} has no reference {source.ref or 'HEAD'}")


def checkout(source: GitSource, commit: str, directory: str, *, keep_git_dir: bool) -> None:
    """The files of `commit` in the empty `directory`."""
    porcelain = _porcelain()
    try:
        repository = porcelain.clone(source.url, directory, checkout=False, errstream=io.BytesIO())
        with repository:
            repository.refs.set_symbolic_ref(b"HEAD", b"refs/heads/dockmagic")
            repository.refs[b"refs/heads/dockmagic"] = commit.encode()
            porcelain.reset(repository, "hard", commit.encode())
    except KeyError:
        raise NotFound(f"repository {source.url} has no commit {commit}") from None
    except Exception as error:  # as above
        raise _failed(source, error) from error
    if not keep_git_dir:
        remove_tree(str(Path(directory) / ".git"))


def check_commit(commit: str, checksum: str) -> None:
    """`ADD --checksum` of a repository is its commit, or the beginning of it."""
    if checksum and not commit.startswith(checksum):
        raise InvalidInput(f"expected checksum to match {checksum}, got {commit}")


def _candidates(ref: str) -> list[bytes]:
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}", ref]
    # an annotated tag is an object of its own: what it stands for is listed as NAME^{}
    return [f"{name}{peeled}".encode() for name in names for peeled in ("^{}", "")]


def _porcelain() -> Any:
    """dulwich's commands. Untyped: its names for bytes are private to it."""
    from dulwich import porcelain  # takes 100 ms to load, and few builds need it

    return porcelain


def _failed(source: GitSource, error: Exception) -> RemoteFailed:
    return RemoteFailed(f"failed to fetch {source.url}: {str(error) or type(error).__name__}")
