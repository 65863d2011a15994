"""Adds lines of the Dockerfile, and suggestions, to errors found after it was parsed."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dockmagic_runtime.builder.interfaces import Images
from dockmagic_runtime.builder.plan.steps import RunStep, TransferStep
from dockmagic_runtime.dockerfile import Dockerfile
from dockmagic_runtime.dockerfile.errors import near
from dockmagic_runtime.dockerfile.instructions import Instruction
from dockmagic_runtime.errors import (
    DockmagicError,
    InvalidInput,
    NotFound,
    RemoteFailed,
    Unsupported,
)

# not the Dockerfile's doing: the disk is full, broken, or there are too many open files
_OURS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EROFS)

_KINDS: Final = (InvalidInput, NotFound, Unsupported, RemoteFailed)


@contextmanager
def missing_image(
    dockerfile: Dockerfile, instruction: Instruction, name: str, images: Images
) -> Iterator[None]:
    """Adds the line to errors of the block that gets the image, and the stage that was probably
    meant: a misspelt stage name looks like the name of an image."""
    try:
        yield
    except DockmagicError as error:
        position = instruction.position
        error.message = f"{dockerfile.file_name}:{position.line}: {error.message}"
        error.excerpt = dockerfile.listing(position)
        meant = _meant(dockerfile, name, images)
        error.hint = "; ".join(filter(None, (meant, error.hint)))
        raise


def _meant(dockerfile: Dockerfile, name: str, images: Images) -> str:
    stages = tuple(stage.name for stage in dockerfile.stages if stage.name)
    if stage := near(name.lower(), stages):
        return f"did you mean the stage {stage}?"
    try:
        images.resolve(name)
    except NotFound as error:
        return error.hint if error.hint.startswith("similar") else ""
    return ""


@contextmanager
def step_errors(step: TransferStep | RunStep, sources: Sequence[str]) -> Iterator[None]:
    """Adds the step's line to errors that its words or files have caused."""
    try:
        yield
    except _KINDS as error:
        kind = next(kind for kind in _KINDS if isinstance(error, kind))
        raise kind(
            f"{step.place}: {step.instruction.keyword} failed: {error.message}", hint=error.hint
        ) from None
    except OSError as error:
        if error.errno in _OURS or error.errno is None:
            raise
        name = os.fsdecode(error.filename) if error.filename else posixpath.join(*sources)
        reason = os.strerror(error.errno).lower()
        raise InvalidInput(
            f"{step.place}: {step.instruction.keyword} failed: {name}: {reason}"
        ) from None
