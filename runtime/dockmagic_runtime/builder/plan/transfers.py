"""COPY and ADD as steps: their words sorted into paths, texts and addresses. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from dockmagic_runtime.builder.plan.chmod import Mode
from dockmagic_runtime.builder.plan.config import StageConfig
from dockmagic_runtime.builder.plan.git_source import GitSource
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import Remote
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.errors import InvalidInput

_CHECKSUM: Final = re.compile(r"sha256:[0-9a-f]{64}")


def transfer_fields(
    transfer: i.Copy | i.Add, source: SourceStage, config: StageConfig
) -> dict[str, Any]:
    """The fields of a TransferStep. Raises InvalidInput for flags that do not fit the sources."""
    _refuse_flags(transfer)
    marks = [transfer.heredoc(word) for word in transfer.sources]
    texts = tuple((heredoc.name, heredoc.data) for heredoc in marks if heredoc is not None)
    words = [word for word, mark in zip(transfer.sources, marks, strict=True) if mark is None]
    addresses = [word for word in words if is_remote(transfer, word)]
    into = transfer.destination.endswith(("/", "/.")) or transfer.destination in ("", ".")
    if len(transfer.sources) > 1 and not into:
        raise InvalidInput(
            f"When using {transfer.keyword} with more than one source file, the destination "
            "must be a directory and end with a /"
        )
    return {
        "sources": tuple(word for word in words if word not in addresses),
        "destination": config.path(transfer.destination),
        "into": into,
        "documents": texts,
        "remotes": tuple(_remote(transfer, address) for address in addresses),
        "source_stage": source,
        "chown": transfer.chown,
        "mode": Mode.parse(transfer.chmod) if transfer.chmod else None,
        "excludes": transfer.excludes,
        "unpacks": transfer.unpack if isinstance(transfer, i.Add) else False,
        "link": transfer.link,
        "parents": isinstance(transfer, i.Copy) and transfer.parents,
    }


def is_remote(transfer: i.Copy | i.Add, source: str) -> bool:
    """COPY knows no addresses: to it, they are names of files."""
    if not isinstance(transfer, i.Add):
        return False
    return source.startswith(("http://", "https://")) or GitSource.parse(source) is not None


def _refuse_flags(transfer: i.Copy | i.Add) -> None:
    if not isinstance(transfer, i.Add) or not (transfer.checksum or transfer.keep_git_dir):
        return
    flag = "--checksum" if transfer.checksum else "--keep-git-dir"
    if not any(is_remote(transfer, source) for source in transfer.sources):
        raise InvalidInput(f"ADD {flag} is only for remote sources")
    if transfer.checksum and len(transfer.sources) > 1:
        raise InvalidInput("checksum can't be specified for multiple sources")


def _remote(add: i.Copy | i.Add, source: str) -> Remote:
    assert isinstance(add, i.Add)
    is_git = GitSource.parse(source) is not None
    if add.checksum and not is_git and not _CHECKSUM.fullmatch(add.checksum):
        raise InvalidInput(f"invalid checksum digest format: {add.checksum}")
    return Remote(
        url=source,
        name="" if is_git else name_of(source),
        checksum=add.checksum,
        keep_git_dir=add.keep_git_dir,
    )


def name_of(url: str) -> str:
    """The file name in the path of `url`, "" if there is none."""
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise InvalidInput(f'parse "{url}": {error}') from None
    return posixpath.basename(unquote(path).rstrip("/"))
