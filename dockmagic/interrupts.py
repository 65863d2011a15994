"""SIGINT while modules load: never in a place that cannot bear an exception.

Python raises KeyboardInterrupt between any two steps of its bytecode. In a callback of its own, as
of the locks of imports, it prints a traceback and goes on; while msgspec looks at a type, as the
decoders at the top of a module make it do, the process ends by a segmentation fault. So an
interrupt is put off for as long as a module is being imported, which is milliseconds.
"""

from __future__ import annotations

import _thread
import sys
import time

TYPE_CHECKING = False  # part of the way of every command: see `cli`
if TYPE_CHECKING:
    import signal
    from sys import UnraisableHookArgs
    from types import FrameType
else:
    import _signal as signal  # `signal` makes enums of its numbers, which takes a millisecond

_MOMENT = 0.001  # seconds
_IMPORTING = "<frozen importlib"
_CALLED_BY_MSGSPEC = ("/msgspec/_utils.py", "/typing.py")


class Guarded:
    """While its block runs, where an interrupt would raise KeyboardInterrupt: in a kernel's cell.

    A class, since `contextlib` costs a command that only shows its help a millisecond.
    """

    __slots__ = ("_is_set",)

    def __enter__(self) -> None:
        self._is_set = False
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                signal.signal(signal.SIGINT, _interrupt)
                self._is_set = True
            except ValueError:
                pass  # not the main thread: no signal comes here

    def __exit__(self, *_: object) -> None:
        if self._is_set:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def guard() -> None:
    """From now on. For a process of our own: a notebook's kernel has `Guarded`."""
    signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _raise_again


def ignore() -> None:
    """From now on an interrupt is too late."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_IMPORTING) or name.endswith(_CALLED_BY_MSGSPEC):
            _come_again()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _raise_again(unraisable: UnraisableHookArgs) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _come_again()
    else:
        sys.__unraisablehook__(unraisable)


def _come_again() -> None:
    _thread.start_new_thread(_after_a_moment, ())


def _after_a_moment() -> None:
    time.sleep(_MOMENT)
    _thread.interrupt_main()
