"""The edge at which the engine's errors become the notebook's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from dockmagic import interrupts
from dockmagic.errors import Interrupted, MagicError, from_engine, from_host
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.errors import DockmagicError

_COMMAND = re.compile(r"(?<![%\w./-])docker ([a-z]+)")


@contextmanager
def as_magic_errors() -> Iterator[None]:
    """Raises MagicError for what the engine raises; its texts may quote a container, so clean."""
    try:
        yield
    except DockmagicError as error:
        shown = from_engine(error)
        shown.message, shown.hint = plain(shown.message), for_cells(plain(shown.hint))
        raise shown from error
    except MagicError as error:
        error.hint = for_cells(error.hint)
        raise
    except OSError as error:
        if (cause := from_host(error)) is not None:
            raise cause from error
        raise


@lru_cache(maxsize=1)
def _verbs() -> frozenset[str]:
    from dockmagic import commands

    return frozenset(commands.names())


@contextmanager
def interruptible(what: Callable[[KeyboardInterrupt], str]) -> Iterator[None]:
    """Raises Interrupted after an interrupt; `what` says what has become of the work."""
    began = time.monotonic()
    try:
        with interrupts.Guarded():  # the first magic loads modules
            yield
    except Interrupted:
        raise
    except KeyboardInterrupt as interrupt:
        raise Interrupted(plain(what(interrupt)), time.monotonic() - began) from None


_FROM_FAILED = "docker run -it --from-failed"


def for_cells(hint: str) -> str:
    """A hint that can be followed where it is read: `'docker system df'` is typed with a %."""
    hint = hint.replace(_FROM_FAILED, "%%run_container --from-failed sh")
    return _COMMAND.sub(lambda match: f"%{match[0]}" if match[1] in _verbs() else match[0], hint)
