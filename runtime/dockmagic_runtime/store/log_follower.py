"""Reading a file of lines that is renamed when it is full, to `.1`, `.2` and so on, while it grows.

The writer promises that nothing is written to a file that has been renamed. A reader then loses
nothing: it keeps the file that it reads open under whatever name, and goes on to the one that came
after it. Files may be removed before a slow reader gets to them: then it goes on with the oldest.
"""

from __future__ import annotations

import os
from typing import Final

_CHUNK: Final = 256 * 1024
_LONGEST: Final = 1024 * 1024  # bytes of a line: of more, the middle is dropped


class RotatedReader:
    """Stands in one of the files. Begins with the oldest, or with `fd`, which it then owns."""

    def __init__(self, path: str, fd: int = -1) -> None:
        self._path = path
        self._fd = fd
        self._rest = b""

    def take(self) -> list[bytes]:
        """Some whole lines, without their newlines; none when there are no more now."""
        return self.take_block().split(b"\n")[:-1]

    def take_block(self) -> bytes:
        """Some whole lines; empty when there are no more now."""
        while self._fd >= 0 or self._advance():
            # asked before reading: a file that has been renamed will not grow after the answer
            is_left = not is_at(self._fd, self._path)
            data = os.read(self._fd, _CHUNK)
            if data:
                cut = data.rfind(b"\n") + 1
                if cut:
                    block, self._rest = self._rest + data[:cut], data[cut:]
                    return block
                if len(self._rest) < _LONGEST:  # else it is no line of ours
                    self._rest += data
            elif not is_left or not self._advance():
                return b""
        return b""

    def _advance(self) -> bool:
        """Go to the file after this one; whether there is one."""
        while (number := self._number()) > 0:
            following = self._open_after(number)
            # had anything been renamed meanwhile, this might be one too far
            if self._number() == number:
                return self._go_to(following)
            close(following)
        return False  # not left yet, whatever `is_left` saw in the moment of a renaming

    def _go_to(self, fd: int) -> bool:
        if fd >= 0:
            self.close()
            self._fd, self._rest = fd, b""
        return fd >= 0

    def _open_after(self, number: int) -> int:
        """The file before `number`, or, when the writer is just moving that one up, its source."""
        following = open_if_there(name_of(self._path, number - 1))
        if following >= 0 or number == 1:
            return following
        source = open_if_there(name_of(self._path, number - 2))
        # only if it has not been moved meanwhile was that the source: else it has come to its place
        following = open_if_there(name_of(self._path, number - 1))
        if following < 0:
            return source
        close(source)
        return following

    def _number(self) -> int:
        """Where ours is: 0 the file that is written, 1 the last before it; past the oldest, when
        ours is gone or nothing was read yet.

        While the writer moves them up, from the oldest on, one number may be missing.
        """
        number = past = 0
        while number <= past + 1:
            try:
                status = os.stat(name_of(self._path, number))
            except FileNotFoundError:
                pass
            else:
                past = number + 1
                if self._fd >= 0 and os.path.samestat(os.fstat(self._fd), status):
                    return number
            number += 1
        return max(past, 1)

    def close(self) -> None:
        close(self._fd)
        self._fd = -1


def name_of(path: str, number: int) -> str:
    return f"{path}.{number}" if number else path


def is_at(fd: int, path: str) -> bool:
    """Whether `path` still names the file that `fd` is."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def open_if_there(path: str) -> int:
    """A descriptor for reading, or -1 when there is no such file."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
