"""Git repositories as sources of ADD and as contexts, read with dulwich."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from dockmagic_runtime.builder.plan.git_source import GitSource
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.registry.stall import HINT, silence, stall_limit

# a connection that has died is found out within a minute
_SSH: Final = "ssh -o ConnectTimeout=60 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def commit_of(source: GitSource) -> str:
    """The commit that the source means now. Raises NotFound, RemoteFailed."""
    if _COMMIT.fullmatch(source.ref):
        return source.ref
    refs = _twice(source, lambda client, path: client.get_refs(path.encode()).refs)
    names = [b"HEAD"] if not source.ref else _candidates(source.ref)
    for name in names:
        if commit := refs.get(name):
            return bytes(commit).decode()
    raise NotFound(f"repository {source.url} has no reference {source.ref or 'HEAD'}")


def checkout(source: GitSource, commit: str, directory: str, *, keep_git_dir: bool) -> None:
    """The files of `commit` in the empty `directory`."""

    def clone(client: Any, path: str) -> Any:
        for name in os.listdir(directory):  # of an attempt that stalled  # noqa: PTH208
            remove_tree(f"{directory}/{name}")
        return client.clone(path, directory, mkdir=False, checkout=False, origin_url=source.url)

    try:
        with _twice(source, clone) as repository:
            repository.refs.set_symbolic_ref(b"HEAD", b"refs/heads/dockmagic")
            repository.refs[b"refs/heads/dockmagic"] = commit.encode()
            _porcelain().reset(repository, "hard", commit.encode())
    except KeyError:
        raise NotFound(f"repository {source.url} has no commit {commit}") from None
    except DockmagicError:
        raise
    except Exception as error:  # the library's errors have no common base
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


def _twice(source: GitSource, work: Callable[[Any, str], Any]) -> Any:
    """What `work` makes of a client and the path of the repository; again after a stall.

    Raises RemoteFailed.
    """
    limit = stall_limit()
    for is_last in (False, True):
        try:
            with ExitStack() as stack:
                return work(*_client(source.url, limit, stack))
        except KeyError:
            raise
        except Exception as error:  # the library's errors have no common base
            if not _is_timeout(error):
                raise _failed(source, error) from error
            if is_last:
                reason = f"failed to fetch {source.url}: {silence(limit)}"
                raise RemoteFailed(reason, hint=HINT) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _client(url: str, limit: float, stack: ExitStack) -> tuple[Any, str]:
    """dulwich's client for a URL; no wait of it is longer than `limit` seconds."""
    client: Any = import_module("dulwich.client")
    from dulwich.config import StackedConfig

    config = StackedConfig.default()
    if url.startswith(("http://", "https://")):
        from urllib3 import Retry

        pool = client.default_urllib3_manager(config, base_url=url, timeout=limit)
        stack.callback(pool.clear)
        pool.connection_pool_kw["retries"] = Retry(connect=0, read=0, redirect=5)
        transport, path = client.get_transport_and_path(url, config=config, pool_manager=pool)
        return transport, path
    ssh = os.environ.get("GIT_SSH_COMMAND") or _SSH
    transport, path = client.get_transport_and_path(url, config=config, ssh_command=ssh)
    if isinstance(transport, client.TCPGitClient):
        transport._connect = _limited(transport._connect, limit, stack)
    return transport, path


def _limited(connect: Callable[..., Any], limit: float, stack: ExitStack) -> Callable[..., Any]:
    """A connection of git:// with a timeout on its socket: dulwich gives it none."""

    def connected(*arguments: Any, **options: Any) -> Any:
        answer = connect(*arguments, **options)
        protocol = answer[0]
        stack.callback(protocol.close)
        protocol.read.__self__.raw._sock.settimeout(limit)
        return answer

    return connected


def _is_timeout(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, TimeoutError) or "timed out" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _failed(source: GitSource, error: Exception) -> RemoteFailed:
    return RemoteFailed(f"failed to fetch {source.url}: {str(error) or type(error).__name__}")
