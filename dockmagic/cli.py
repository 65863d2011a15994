"""`dockmagic VERB …`: the entry point of the command line.

It finds out what the line asks for, and answers itself what needs nothing more: help on all
commands, the version, an unknown command. All else is imported when it is needed (`console`),
inside `main`, so that an interrupt while modules load ends without a traceback too.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # no import here but those of Python's own start
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockmagic.commands.line import Line
    from dockmagic.session import Session

_INTERRUPTED = 130
_READER_LEFT = 141
_STARTING = ("restart", "run", "start")


def main(words: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Runs one command line; returns the exit code.

    Without `words` it is that of this process, which then ends here.
    """
    if words is not None:
        return _guarded(list(words), session)
    code = _INTERRUPTED
    try:
        from dockmagic import interrupts

        interrupts.guard()
        gc.set_threshold(50_000, 10, 10)  # loading makes no garbage, and 700 is reached often
        code = _guarded(sys.argv[1:], None)
        interrupts.ignore()
        _finish()
    except KeyboardInterrupt:
        pass  # in the moments around what guards itself
    os._exit(code)  # without taking the interpreter down in order, which takes 10 ms


def _finish() -> None:
    """Closes the engine, if there is one, and ends what is written."""
    session = sys.modules.get("dockmagic.session")
    try:
        if session is not None:
            session.close_current()
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the exit code is known
    sys.stderr.flush()


def _guarded(words: list[str], session: Session | None) -> int:
    try:
        code = _main(words, session)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        # without a word, as Docker's client
        return getattr(interrupt, "exit_code", _INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has left; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)
        return _READER_LEFT
    return code


def _main(words: list[str], session: Session | None) -> int:
    is_traced = words[:1] == ["--trace"]
    words = words[is_traced:]
    line = _resolved(words)
    if isinstance(line, int):
        return line
    if session is None and line.verb in _STARTING:
        _prepare_launcher()
    from dockmagic_runtime.lean_msgspec import import_msgspec

    import_msgspec()
    from dockmagic import console

    return console.run(line, session, is_traced=is_traced)


def _prepare_launcher() -> None:
    """The process that starts containers starts while this one loads its modules, on another core.

    It is shared with other commands, and ends when no container and no engine needs it.
    """
    from dockmagic_runtime.supervisor.launcher_start import prepare

    prepare()


def _resolved(words: list[str]) -> Line | int:
    """What the line asks for; the exit code if it is answered already."""
    from dockmagic import messages
    from dockmagic.commands.line import resolve
    from dockmagic.commands.usage import HelpAsked
    from dockmagic_runtime.errors import DockmagicError

    try:
        line = resolve(words)
    except HelpAsked as asked:
        return messages.show_help(asked)
    except DockmagicError as error:
        form = words[0] if words else ""
        messages.complain(error, form)
        return messages.exit_code(error, form)
    if line.verb == "version" and not line.words:
        from dockmagic.commands.system.version_page import version_page

        sys.stdout.write(f"{version_page()}\n")
        return 0
    return line
