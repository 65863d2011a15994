"""Calls of pyroute2, each in a thread of its own.

pyroute2's sockets run an event loop, which cannot start in a thread that is running one: in a
notebook that is the thread of every cell. A new thread is also in the network namespace of the
thread that started it.

The import takes 0.1 to 0.4 s, so pyroute2 is imported by the first call, in no command that
starts, lists or stops containers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def call(function: Callable[[], T]) -> T:
    """The result of `function`, or its exception, from a new thread.

    Raises OSError with the kernel's errno where the kernel refuses.
    """
    outcome: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # raised again below, by the calling thread
            failures.append(error)

    thread = threading.Thread(target=work, name="pyroute2", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise _as_os_error(failures[0])
    return outcome[0]


def _as_os_error(error: BaseException) -> BaseException:
    """pyroute2's NetlinkError has the errno in `code`, and is no OSError."""
    code = getattr(error, "code", None)
    if isinstance(error, OSError) or not isinstance(code, int):
        return error
    return OSError(code, str(error.args[-1] if error.args else error))
