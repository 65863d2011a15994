"""`--output`: the files of what was built, as a directory or as an archive."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from dockmagic_runtime.builder.context.transfer import Transfer
from dockmagic_runtime.builder.context.tree import Source, SourceTree
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.tar.writer import TreeArchive
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.build import BuildOutput


def export(tree: Root, output: BuildOutput, epoch: int | None) -> None:
    """Write the tree. Raises InvalidInput where it cannot be written."""
    try:
        if output.kind == "local":
            _to_directory(tree, output.path)
        else:
            _to_archive(tree, output.path, epoch)
    except OSError as error:
        raise InvalidInput(f"failed to export to {output.path}: {error.strerror}") from error


def _to_directory(tree: Root, path: str) -> None:
    """Into a directory that may hold something already. The files are the caller's, as with
    Docker; an image has no say in what is set-uid or a device on the host."""
    Path(path).mkdir(parents=True, exist_ok=True)
    with Root.at(path) as root:
        owner = (os.geteuid(), os.getegid())
        everything = Source("", "", is_dir=True)
        Transfer(root, owner, for_host=True).copy(
            SourceTree(tree, owned=True), everything, "/", into=True, excludes=IgnoreRules(())
        )


def _to_archive(tree: Root, path: str, epoch: int | None) -> None:
    with ExitStack() as stack:
        fd = tree.open(".", os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, fd)
        standard: BinaryIO = sys.stdout.buffer
        out = standard if path == "-" else stack.enter_context(Path(path).open("wb"))
        for chunk in TreeArchive(clamp_mtime=epoch).below(fd):
            out.write(chunk)
        out.flush()
