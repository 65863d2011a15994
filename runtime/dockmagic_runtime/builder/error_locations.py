"""Adds lines of the Dockerfile, and suggestions, to errors found after it was parsed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dockmagic_runtime.builder.interfaces import Images
from dockmagic_runtime.dockerfile import Dockerfile
from dockmagic_runtime.dockerfile.errors import near
from dockmagic_runtime.dockerfile.instructions import Instruction
from dockmagic_runtime.errors import DockmagicError, NotFound


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
        error.excerpt = dockerfile.excerpt(position)
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
