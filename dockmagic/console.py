"""Runs one command in a terminal, with Docker's output and exit codes.

The engine's errors become one line on stderr. Docker's client exits with 125 for a wrong flag and
for what keeps `run` from starting, with 126 or 127 when the command is not there, with the
container's own code in the foreground, and with 1 for everything else.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from dockmagic import commands
from dockmagic.commands.output.result import Attached, Chunk, Question, Result
from dockmagic.commands.program import is_docker
from dockmagic.commands.usage import HelpAsked, WrongUsage
from dockmagic.messages import as_called, complain, complain_of, exit_code, show_help
from dockmagic.session import Session, current
from dockmagic_runtime.errors import DockmagicError, InvalidInput
from dockmagic_runtime.model.utf8 import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockmagic.commands.line import Line
    from dockmagic.commands.options.flags import Arguments
    from dockmagic.commands.output.result import Event, Outcome

_CLEAR, _HOME, _END_OF_LINE, _BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def run(line: Line, session: Session | None, *, is_traced: bool = False) -> int:
    """Runs the command of a line and shows its outcome; returns the exit code."""
    if session is None:  # the process is this command's
        _end_on_sigterm()
    session = session or current()
    if is_traced:
        from dockmagic.tracing import traced

        with traced(session, sys.stderr):
            return _command(line, session)
    return _command(line, session)


class Terminated(KeyboardInterrupt):
    """SIGTERM: what a command began is ended as after ^C, with Docker's exit code."""

    exit_code = 128 + signal.SIGTERM


def _end_on_sigterm() -> None:
    def terminate(*_: object) -> None:
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)


def _command(line: Line, session: Session) -> int:
    behind: tuple[str, ...] = ()
    try:
        arguments = commands.parse_line(line)
        behind = _named(arguments)
        return _executed(arguments, session, line)
    except HelpAsked as asked:
        return show_help(asked)
    except DockmagicError as error:
        complain(error, line.form, behind)
        return exit_code(error, line.form)
    except OSError as error:
        from dockmagic.errors import from_host

        shortage = from_host(error)
        if shortage is None:
            raise
        complain_of(str(shortage))
        return 125 if line.verb == "run" else 1


def _named(arguments: Arguments) -> tuple[str, ...]:
    """The words that a frame of an error may name; Docker's of `start -a` names none."""
    is_attached = arguments.verb == "start" and (
        arguments.flag("attach") or arguments.flag("interactive")
    )
    return () if is_attached else arguments.words


def _executed(arguments: Arguments, session: Session, line: Line) -> int:
    for notice in arguments.notices:  # Docker's client writes them to stdout
        print(notice, file=sys.stdout if is_docker() else sys.stderr)
    _check_terminal(arguments)
    if arguments.verb == "logs":
        from dockmagic.commands.container import logs

        return _events(logs.stream(session.engine_when_used, arguments), line)
    if _is_build(arguments):
        return _build(arguments, session, line)
    outcome = commands.execute(session.engine_for(arguments.verb), arguments)
    if arguments.verb == "stats" and sys.stdout.isatty():
        return _redraw(outcome, line)
    return _show(outcome, line)


def _check_terminal(arguments: Arguments) -> None:
    """A terminal is promised to the container: is there one here?"""
    if arguments.verb not in ("run", "exec") or arguments.flag("detach"):
        return
    if arguments.flag("tty") and arguments.flag("interactive") and not sys.stdin.isatty():
        raise _no_terminal()


def _show(outcome: Outcome, line: Line) -> int:
    if isinstance(outcome, Result):
        return _result(outcome, line)
    return _events(outcome, line)


def _redraw(outcome: Outcome, line: Line) -> int:
    """Each table takes the place of the one before, line by line: a cleared screen would blink."""
    if isinstance(outcome, Result):
        return _result(outcome, line)
    sys.stdout.write(_CLEAR)
    for event in outcome:
        if isinstance(event, Result):
            lines = "".join(f"{text}{_END_OF_LINE}\n" for text in event.text().splitlines())
            sys.stdout.write(f"{_HOME}{lines}{_BELOW}")
            sys.stdout.flush()
    return 0


def _is_build(arguments: Arguments) -> bool:
    """Whether it builds: `build`, and `explain build`."""
    return arguments.verb == "build" or (
        arguments.verb == "explain" and arguments.words[:1] == ("build",)
    )


def _build(arguments: Arguments, session: Session, line: Line) -> int:
    """A build writes all its progress to stderr, as BuildKit's client does, and its errors too."""
    from dockmagic.progress.follow import BuildFailed, follow, mode_of, without_place

    try:
        mode_of(arguments)  # before any effect
        outcome = commands.execute(session.engine_when_used, arguments)
        if isinstance(outcome, Result):
            return _result(outcome, line)
        return _events(follow(outcome, arguments), line)
    except BuildFailed as failure:
        error, solving = failure.error, "failed to solve: "
    except WrongUsage:
        raise
    except DockmagicError as failure:
        error, solving = failure, ""
    lines = [error.excerpt, f"ERROR: failed to build: {solving}{without_place(error)}", error.hint]
    sys.stderr.write(as_called("\n".join(filter(None, lines))) + "\n")
    return 1


def _events(events: Iterator[Event], line: Line) -> int:
    code = 0
    for event in events:
        if isinstance(event, Attached):
            code = _attach(event)
        elif isinstance(event, Question):
            code = _result(event.proceed(), line) if _says_yes(event) else 0
        elif isinstance(event, Result):
            code = _result(event, line)
        elif isinstance(event, Chunk):
            _write(event)
        else:
            _write_transfer(event)
    return code


def _write_transfer(event: Event) -> None:
    """Pulls and pushes as lines about beginnings and ends: they read well in a log too."""
    from dockmagic_runtime.model.progress import PullStatus  # `run` and `exec` have no such events

    if isinstance(event, PullStatus) and (not event.total or event.current >= event.total):
        text = f"{event.id}: {event.status}" if event.id else event.status
        _write(Chunk("stdout", f"{text}\n".encode()))


def _attach(attached: Attached) -> int:
    from dockmagic.terminal import attach

    if attached.joined and attached.tty and attached.stdin and not sys.stdin.isatty():
        attached.process.detach()  # nothing is to be typed for it, not even the end of the input
        raise _no_terminal()
    return attach(attached).exit_code


def _no_terminal() -> InvalidInput:
    error = InvalidInput("the input device is not a TTY", hint="leave -t out, or use a terminal")
    error.exit_code = 1
    return error


def _says_yes(question: Question) -> bool:
    """Anything but `y`, and the end of the input too, is a no."""
    sys.stdout.write(f"{question.text} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "y"


def _result(result: Result, line: Line) -> int:
    for chunk in result.chunks():
        _write(chunk)
    for error in (*result.harmless, *result.errors):
        complain(error, line.form)
    if result.trailer and is_docker():
        sys.stderr.write(f"{printable(result.trailer)}\n")
    return result.exit_code


def _write(chunk: Chunk) -> None:
    """Bytes as they are: what a container wrote is not ours to decode."""
    stream = sys.stderr if chunk.stream == "stderr" else sys.stdout
    stream.flush()
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(chunk.data.decode(errors="replace"))
    else:
        raw.write(chunk.data)
    stream.flush()
