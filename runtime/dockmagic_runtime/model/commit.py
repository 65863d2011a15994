"""What `commit` and `import` are asked for."""

from __future__ import annotations

from dockmagic_runtime.model.checked import Checked


class CommitSpec(Checked, frozen=True, kw_only=True):
    """`reference` is the new image's name, if it gets one; `changes` are Dockerfile instructions
    that only touch its config. With `pause`, the container is frozen while it is copied."""

    reference: str = ""
    author: str = ""
    message: str = ""
    changes: tuple[str, ...] = ()
    pause: bool = True


class ImportSpec(Checked, frozen=True, kw_only=True):
    """`reference` is the new image's name, if it gets one; `message` is kept in its history."""

    reference: str = ""
    message: str = "Imported from -"
    changes: tuple[str, ...] = ()
