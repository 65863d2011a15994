"""`dockmagic VERB …`: the same commands in a terminal, with Docker's output and exit codes.

The engine's errors become one line on stderr. Docker's client exits with 125 for a wrong flag and
for what keeps `run` from starting, with 126 or 127 when the command is not there, with the
container's own code in the foreground, and with 1 for everything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from dockmagic import commands
from dockmagic.commands.options.flags import Arguments, HelpAsked, WrongUsage
from dockmagic.commands.output.result import Attached, Chunk, Event, Outcome, Question, Result
from dockmagic.errors import from_host, told
from dockmagic.session import Session, current
from dockmagic_runtime.errors import DockmagicError, InvalidInput, StartFailed
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.model.utf8 import printable

_INTERRUPTED = 130
_CLEAR, _HOME, _END_OF_LINE, _BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def main(words: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run one command line; the exit code."""
    words = sys.argv[1:] if words is None else list(words)
    try:
        code = _main(words, session or current())
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has left; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)
        return 141
    return code


def _main(words: list[str], session: Session) -> int:
    if words[:1] == ["--trace"]:
        from dockmagic.tracing import traced

        with traced(session, sys.stderr):
            return _command(words[1:], session)
    return _command(words, session)


def _command(words: list[str], session: Session) -> int:
    try:
        arguments = commands.parse(words)
        _check_terminal(arguments)
        if arguments.verb == "logs":
            from dockmagic.commands.container import logs

            return _events(logs.stream(session.engine, arguments))
        if arguments.verb == "stats" and sys.stdout.isatty():
            return _redraw(commands.execute(session.engine_for(arguments.verb), arguments))
        if _is_build(arguments):
            return _build(arguments, session)
        return _show(commands.execute(session.engine_for(arguments.verb), arguments))
    except HelpAsked as asked:
        sys.stdout.write(asked.text.replace("docker ", "dockmagic ") + "\n")
        return 0
    except DockmagicError as error:
        _complain(error)
        return _exit_code(error, words)
    except OSError as error:
        if (found := from_host(error)) is None:
            raise
        sys.stderr.write(f"dockmagic: {_as_ours(str(found))}\n")
        return 125 if words[:1] == ["run"] else 1


def _exit_code(error: DockmagicError, words: list[str]) -> int:
    if isinstance(error, (StartFailed, WrongUsage)):
        return error.exit_code
    verb = next((word for word in words if word != "container"), "")
    return error.exit_code if verb == "run" else 1


def _complain(error: DockmagicError) -> None:
    sys.stderr.write(f"dockmagic: {printable(_as_ours(told(error)))}\n")


def _as_ours(text: str) -> str:
    """Commands to try are named as they are typed here."""
    for quote in ("'", "Usage: "):
        text = text.replace(f"{quote}docker ", f"{quote}dockmagic ")
    return text


def _check_terminal(arguments: Arguments) -> None:
    """A terminal is promised to the container: is there one here?"""
    if arguments.verb not in ("run", "exec") or arguments.flag("detach"):
        return
    if arguments.flag("tty") and arguments.flag("interactive") and not sys.stdin.isatty():
        raise _no_terminal()


def _show(outcome: Outcome) -> int:
    if isinstance(outcome, Result):
        return _result(outcome)
    return _events(outcome)


def _redraw(outcome: Outcome) -> int:
    """Each table takes the place of the one before, line by line: a cleared screen would blink."""
    if isinstance(outcome, Result):
        return _result(outcome)
    sys.stdout.write(_CLEAR)
    for event in outcome:
        if isinstance(event, Result):
            lines = "".join(f"{line}{_END_OF_LINE}\n" for line in event.text().splitlines())
            sys.stdout.write(f"{_HOME}{lines}{_BELOW}")
            sys.stdout.flush()
    return 0


def _is_build(arguments: Arguments) -> bool:
    """Whether it builds: `build`, and `explain build`."""
    return arguments.verb == "build" or (
        arguments.verb == "explain" and arguments.words[:1] == ("build",)
    )


def _build(arguments: Arguments, session: Session) -> int:
    """A build writes all its progress to stderr, as BuildKit's client does, and its errors too."""
    from dockmagic.progress.follow import BuildFailed, follow, mode_of, without_place

    try:
        mode_of(arguments)  # before any effect
        outcome = commands.execute(session.engine, arguments)
        if isinstance(outcome, Result):
            return _result(outcome)
        return _events(follow(outcome, arguments))
    except BuildFailed as failure:
        error, solving = failure.error, "failed to solve: "
    except WrongUsage:
        raise
    except DockmagicError as failure:
        error, solving = failure, ""
    lines = [error.excerpt, f"ERROR: failed to build: {solving}{without_place(error)}", error.hint]
    sys.stderr.write(_as_ours("\n".join(filter(None, lines))) + "\n")
    return 1


def _events(events: Iterator[Event]) -> int:
    code = 0
    for event in events:
        if isinstance(event, Attached):
            code = _attach(event)
        elif isinstance(event, Question):
            code = _result(event.proceed()) if _says_yes(event) else 0
        elif isinstance(event, Result):
            code = _result(event)
        else:
            _write(_text(event))
    return code


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


def _result(result: Result) -> int:
    for chunk in result.chunks():
        _write(chunk)
    for error in result.errors:
        _complain(error)
    return result.exit_code


def _write(chunk: Chunk | None) -> None:
    """Bytes as they are: what a container wrote is not ours to decode."""
    if chunk is None:
        return
    stream = sys.stderr if chunk.stream == "stderr" else sys.stdout
    stream.flush()
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(chunk.data.decode(errors="replace"))
    else:
        raw.write(chunk.data)
    stream.flush()


def _text(event: Event) -> Chunk | None:
    """What a terminal shows of an event, as lines: they read well in a log too."""
    if isinstance(event, Chunk):
        return event
    return _pull_line(event) if isinstance(event, PullStatus) else None


def _pull_line(event: PullStatus) -> Chunk | None:
    if event.total and event.current < event.total:
        return None  # a bar's next step; lines tell of beginnings and ends
    return _line(f"{event.id}: {event.status}" if event.id else event.status)


def _line(text: str) -> Chunk:
    return Chunk("stdout", f"{text}\n".encode())
