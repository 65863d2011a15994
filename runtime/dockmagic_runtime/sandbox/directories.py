"""An operation of the child: directories that must be there before the program starts."""

from __future__ import annotations

import os
from typing import ClassVar

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation


@operation
class MakeDirectory(UndoneByKernel, frozen=True):
    """The working directory, owned by root and 0755 when it is missing (Docker's WORKDIR).

    It stays in the writable layer, so there is nothing to undo.
    """

    calls: ClassVar[tuple[str, ...]] = ("openat2", "mkdirat")

    path: str

    def describe(self) -> str:
        return f"make sure that {self.path} exists"

    def execute(self, context: Context) -> None:
        if context.root is None:
            raise EngineBug("directories are made after the root is mounted")
        os.close(context.root.mkdirs(self.path))
