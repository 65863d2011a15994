"""The columns of ps(1) for `docker top`: options to columns, processes to text.

The options only choose columns, since the processes are those of the container. Supported are the
usual spellings of "all" (-e, -A, a, x), the fixed formats (-f, -F, u, j, l of BSD and Unix) and -o
with the specifiers below. Source: ps(1) of procps, "STANDARD FORMAT SPECIFIERS".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from msgspec import Struct

from dockmagic_runtime.containers.inspect.processes import ProcessInfo, memory_total
from dockmagic_runtime.errors import InvalidInput, Unsupported

_NAME: Final = 8  # characters; ps too cuts longer user names


class Column(Struct, frozen=True):
    """A heading, and the text of a process below it."""

    heading: str
    text: Callable[[ProcessInfo], str]


def columns(words: Sequence[str]) -> tuple[Column, ...]:
    """The columns that ps's options ask for. Raises InvalidInput, Unsupported."""
    format_, chosen = "bare", []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            chosen += _long(word, rest)
            continue
        letters = word.removeprefix("-")
        for at, letter in enumerate(letters):
            if letter == "o":
                chosen += _specified(letters[at + 1 :] or _value(rest, "-o"))
                break
            format_ = _format(format_, letter, is_unix=word.startswith("-") and word != "-aux")
    return tuple(chosen) or FORMATS[format_]


def _long(word: str, rest: list[str]) -> list[Column]:
    name, equals, value = word.partition("=")
    if name != "--format":
        raise Unsupported(f"docker top knows no ps option {word}", hint=_HINT)
    return _specified(value if equals else _value(rest, name))


def _value(rest: list[str], option: str) -> str:
    if not rest:
        raise InvalidInput(f"ps: error: format specification must follow {option}")
    return rest.pop(0)


_HINT: Final = "known are -e -A -f -F -l -j, a x u w, and -o with names of columns"


def _format(current: str, letter: str, *, is_unix: bool) -> str:
    if letter in "eAaxdwHTr":
        return current if letter != "x" or current != "bare" else "bsd"
    chosen = {
        (True, "f"): "full",
        (True, "F"): "extra",
        (True, "l"): "long",
        (True, "j"): "jobs",
        (False, "f"): "bsd",
        (False, "u"): "user",
        (False, "l"): "long",
        (False, "j"): "jobs",
    }.get((is_unix, letter))
    if chosen is None:
        raise Unsupported(f"docker top knows no ps option {letter}", hint=_HINT)
    return chosen


def _specified(text: str) -> list[Column]:
    columns = []
    for word in text.replace(",", " ").split():
        name, equals, heading = word.partition("=")
        column = COLUMNS.get(name)
        if column is None:
            raise InvalidInput(
                f'ps: error: unknown user-defined format specifier "{name}"',
                hint=f"known are {', '.join(sorted(COLUMNS))}",
            )
        columns.append(Column(heading, column.text) if equals else column)
    return columns


# ------------------------------------------------------------------ columns


@cache
def _user_name(uid: int) -> str:
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}+"


@cache
def _group_name(gid: int) -> str:
    import grp

    try:
        name = grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}+"


def _arguments(process: ProcessInfo) -> str:
    if not process.arguments:
        return f"[{_visible(process.command)}]"
    return _visible(" ".join(process.arguments))


def _visible(text: str) -> str:
    """The text without control characters: a process chooses its name, a terminal obeys them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _clock(seconds: float) -> str:
    """[DD-]HH:MM:SS"""
    whole = int(seconds)
    days, rest = divmod(whole, 86400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


def _elapsed(process: ProcessInfo) -> str:
    text = _clock(process.elapsed)
    return text.removeprefix("00:") if process.elapsed < 3600 else text


def _bsd_time(process: ProcessInfo) -> str:
    whole = int(process.cpu)
    return f"{whole // 60}:{whole % 60:02d}"


def _started(process: ProcessInfo) -> str:
    """The hour of today, else the day of this year, else the year."""
    now, then = time.localtime(), time.localtime(process.started)
    if (now.tm_year, now.tm_yday) == (then.tm_year, then.tm_yday):
        return time.strftime("%H:%M", then)
    return time.strftime("%b%d" if now.tm_year == then.tm_year else "%Y", then)


def _state(process: ProcessInfo) -> str:
    flags = [
        (process.nice < 0, "<"),
        (process.nice > 0, "N"),
        (process.locked, "L"),
        (process.sid == process.pid, "s"),
        (process.threads > 1, "l"),
        (process.is_foreground, "+"),
    ]
    return process.state + "".join(letter for applies, letter in flags if applies)


def _memory_share(process: ProcessInfo) -> str:
    return f"{1000 * process.rss // memory_total() / 10:.1f}"  # ps truncates


_ENTRIES: Final[tuple[tuple[str, str, Callable[[ProcessInfo], str]], ...]] = (
    ("pid tgid", "PID", lambda p: str(p.pid)),
    ("ppid", "PPID", lambda p: str(p.ppid)),
    ("pgid pgrp", "PGID", lambda p: str(p.pgid)),
    ("sid sess session", "SID", lambda p: str(p.sid)),
    ("user uname", "USER", lambda p: _user_name(p.euid)),
    ("euser", "EUSER", lambda p: _user_name(p.euid)),
    ("ruser", "RUSER", lambda p: _user_name(p.uid)),
    ("uid", "UID", lambda p: str(p.euid)),
    ("euid", "EUID", lambda p: str(p.euid)),
    ("ruid", "RUID", lambda p: str(p.uid)),
    ("group", "GROUP", lambda p: _group_name(p.egid)),
    ("egroup", "EGROUP", lambda p: _group_name(p.egid)),
    ("rgroup", "RGROUP", lambda p: _group_name(p.gid)),
    ("gid", "GID", lambda p: str(p.egid)),
    ("egid", "EGID", lambda p: str(p.egid)),
    ("rgid", "RGID", lambda p: str(p.gid)),
    ("comm ucmd ucomm", "COMMAND", lambda p: _visible(p.command)),
    ("args command", "COMMAND", _arguments),
    ("cmd", "CMD", _arguments),
    ("c", "C", lambda p: str(int(p.percent_cpu))),
    ("pcpu %cpu", "%CPU", lambda p: f"{p.percent_cpu:.1f}"),
    ("pmem %mem", "%MEM", _memory_share),
    ("vsz vsize", "VSZ", lambda p: str(p.vsize // 1024)),
    ("rss rsz rssize", "RSS", lambda p: str(p.rss // 1024)),
    ("sz", "SZ", lambda p: str(p.vsize // 4096)),
    ("tty tt", "TT", lambda p: p.tty),
    ("tname", "TTY", lambda p: p.tty),
    ("stat", "STAT", _state),
    ("s state", "S", lambda p: p.state),
    ("start", "STARTED", lambda p: time.strftime("%H:%M:%S", time.localtime(p.started))),
    ("start_time bsdstart", "START", _started),
    ("stime", "STIME", _started),
    ("lstart", "STARTED", lambda p: time.ctime(p.started)),
    ("time cputime", "TIME", lambda p: _clock(p.cpu)),
    ("bsdtime", "TIME", _bsd_time),
    ("etime", "ELAPSED", _elapsed),
    ("etimes", "ELAPSED", lambda p: str(int(p.elapsed))),
    ("nlwp thcount", "NLWP", lambda p: str(p.threads)),
    ("ni nice", "NI", lambda p: str(p.nice)),
    ("pri", "PRI", lambda p: str(39 - p.priority)),
    ("priority", "PRI", lambda p: str(p.priority)),
    ("opri", "PRI", lambda p: str(60 + p.priority)),
    ("psr", "PSR", lambda p: str(p.processor)),
)
COLUMNS: Final = {
    name: Column(heading, text) for names, heading, text in _ENTRIES for name in names.split()
}


def _row(text: str) -> tuple[Column, ...]:
    """Columns by name; a different heading follows a colon."""
    columns = []
    for word in text.split():
        name, _, heading = word.partition(":")
        columns.append(Column(heading or COLUMNS[name].heading, COLUMNS[name].text))
    return tuple(columns)


FORMATS: Final = {
    "bare": _row("pid tname time comm:CMD"),
    "full": _row("user:UID pid ppid c stime tname time args:CMD"),
    "extra": _row("user:UID pid ppid c sz rss psr stime tname time args:CMD"),
    "long": _row("s uid pid ppid c opri ni sz tname time comm:CMD"),
    "jobs": _row("pid pgid sid tname time comm:CMD"),
    "user": _row("user pid pcpu pmem vsz rss tname stat start_time bsdtime args"),
    "bsd": _row("pid tname stat bsdtime args"),
}
