"""Commands that want a keyboard: `run -it`, `exec -it`, `attach`, `start -ai`.

In a page they get a terminal of their own, and the cell returns at once. In IPython in a terminal
they get that terminal, as with Docker's client. Where there is neither (nbconvert, a tested
notebook), nothing can be typed: a container that runs already is left alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dockmagic.commands.output.result import Attached
from dockmagic.magics.objects import Completed
from dockmagic.widgets.sanitize import plain

if TYPE_CHECKING:
    from dockmagic.widgets.live_output import LiveOutput
    from dockmagic.widgets.terminal_stream import TerminalStream
    from dockmagic.widgets.terminal_view import TerminalView

_GRACE: Final = 2.0  # seconds between the hang-up and the kill
_NO_KEYBOARD = (
    "A cell is no terminal here: nothing can be typed. {name} goes on running; %logs {name} shows "
    "its output, and %exec {name} COMMAND runs a command in it.\n"
)


class Interactive:
    """Gives a process the keyboard that there is."""

    def __init__(self, shell: Any, is_live: Callable[[], bool]) -> None:
        self._shell = shell
        self._is_live = is_live

    @property
    def has_keyboard(self) -> bool:
        return self._is_live() or self._is_terminal

    @property
    def _is_terminal(self) -> bool:
        """Whether IPython itself runs in one."""
        if getattr(self._shell, "kernel", None) is not None:
            return False
        return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))

    def __call__(self, attached: Attached, title: str) -> object | None:
        """What the cell is worth; None when the process is to be watched like any other."""
        if not (attached.tty and attached.stdin):
            return None
        if self._is_live():
            return open_terminal(attached, title)
        if self._is_terminal:
            from dockmagic.terminal import attach

            finished = attach(attached)
            return Completed(finished.name, finished.exit_code)
        if attached.joined:
            attached.process.detach()
            sys.stderr.write(_NO_KEYBOARD.format(name=plain(attached.name)))
            return Completed(attached.name, 0)
        return None


class Terminal:
    """A terminal in the notebook: the process goes on while other cells run."""

    def __init__(self, name: str, stream: TerminalStream, view: TerminalView) -> None:
        self.name = name
        self._stream = stream
        self._view = view
        self._is_shown = False

    def _ipython_display_(self) -> None:
        """Nothing as the result of its cell, which shows the terminal; its `repr` later on."""
        if self._is_shown:
            raise NotImplementedError
        self._is_shown = True

    @property
    def is_open(self) -> bool:
        return not self._stream.is_over

    @property
    def exit_code(self) -> int | None:
        """None while it is open, and for a process that was left running."""
        return self._stream.code

    @property
    def text(self) -> str:
        """What it has shown, without colours."""
        return self._view.screen().text()

    def write(self, text: str) -> None:
        """Type it."""
        self._stream.type(text.encode())

    def detach(self) -> None:
        """Leave the process running."""
        self._stream.leave()

    def close(self) -> None:
        """Hang up, as a terminal that is closed does; kill what does not end by it."""
        self._stream.hang_up(_GRACE)

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until it is over; the exit code. `timeout` in seconds. Raises TimeoutError."""
        if not self._stream.join(threading.TIMEOUT_MAX if timeout is None else timeout):
            raise TimeoutError(f"the terminal of {self.name} is still open")
        return self.exit_code

    def __repr__(self) -> str:
        if self.is_open:
            return f"terminal of {self.name}"
        code = self.exit_code
        return f"terminal of {self.name}, " + (
            "detached" if code is None else f"exited with {code}"
        )


class _Ending:
    """Passes output on to the view, and replaces the live output when the process has ended."""

    def __init__(self, view: TerminalView, output: LiveOutput) -> None:
        self._view = view
        self._output_of_cell = output

    def output(self, at: int, data: bytes) -> None:
        self._view.output(at, data)

    def ended(self, code: int | None) -> None:
        self._view.show_end(code)
        self._output_of_cell.end()


def open_terminal(attached: Attached, title: str) -> Terminal:
    """Show a terminal below the cell that runs."""
    from dockmagic.commands.options.detach_keys import parse_keys
    from dockmagic.terminal import KeyWatch
    from dockmagic.widgets.live_output import LiveOutput
    from dockmagic.widgets.terminal_stream import TerminalStream
    from dockmagic.widgets.terminal_view import TerminalView

    view = TerminalView(plain(attached.name), plain(title), owned=not attached.joined)
    output = LiveOutput(view.bundle)
    keys = KeyWatch(parse_keys(attached.detach_keys))
    ending = _Ending(view, output)
    stream = TerminalStream(attached.process, keys, ending, owned=not attached.joined)
    view.connect(stream, output.refresh)
    output.mount(view)
    output.show()
    stream.start()
    return Terminal(attached.name, stream, view)
