"""`--cidfile`: a new file that takes the id of a container."""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import Self

from dockmagic.commands.output.files import reason
from dockmagic_runtime.errors import Conflict, InvalidInput

# The exit codes that `run` has for such texts: Docker's client looks for them in its errors.
_CODES = {errno.ENOENT: 127, errno.EACCES: 126, errno.EISDIR: 126}


class CidFile:
    """Created before anything else, and removed again if no container's id was written to it.

    An empty name stands for no file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._file: int | None = None
        self._is_written = False

    def __enter__(self) -> Self:
        """Raises Conflict if the file exists, InvalidInput if it cannot be created."""
        if self._name:
            self._file = _created(self._name)
        return self

    def write(self, container_id: str) -> None:
        if self._file is not None and container_id:
            os.write(self._file, container_id.encode())
            self._is_written = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            if not self._is_written:
                os.unlink(self._name)  # noqa: PTH108 - the name may be no text
            self._file = None


def _created(name: str) -> int:
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Conflict(
            f"container ID file found, make sure the other container isn't running or delete {name}"
        ) from None
    except (OSError, ValueError) as error:
        failure = InvalidInput(
            f"failed to create the container ID file: open {name}: {reason(error)}"
        )
        failure.exit_code = _CODES.get(getattr(error, "errno", None) or 0, 125)
        raise failure from None
