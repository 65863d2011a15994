"""`in_child`: run a function in a forked child, where it may give up what it cannot get back."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def in_child(function: Callable[[], Result]) -> Result:
    """What `function` returns. AssertionError, with the child's traceback, if it raises or dies."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _answer(function, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        raise AssertionError(f"the child ended without an answer, wait status {status:#x}")
    succeeded, value = pickle.loads(answer)
    if not succeeded:
        raise AssertionError(f"in the child:\n{value}")
    result: Result = value
    return result


def _answer(function: Callable[[], Result], fd: int) -> None:
    """Never returns: what the test's process would do at its end must not happen twice."""
    code = 0
    try:
        answer: tuple[bool, Result | str]
        try:
            answer = (True, function())
        except BaseException:
            answer = (False, traceback.format_exc())
        with os.fdopen(fd, "wb") as stream:
            stream.write(pickle.dumps(answer))
    except BaseException:
        code = 1
    finally:
        os._exit(code)
