"""A process as /proc describes it: the facts that ps(1) shows.

Source: proc(5), /proc/pid/stat and /proc/pid/status.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Final

from msgspec import Struct

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# the fields of /proc/pid/stat after the command, from the third on
_STAT: Final = (
    "state ppid pgid sid tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime "
    "priority nice threads itrealvalue start vsize rss"
).split()
_PROCESSOR: Final = 36  # index in the same list
_TTY_MAJOR, _PTS_MAJOR = 4, range(136, 144)


class ProcessInfo(Struct, frozen=True, kw_only=True):
    """Times are in seconds, sizes in bytes, ids those of the host's namespaces."""

    pid: int
    ppid: int
    pgid: int
    sid: int
    tty: str
    state: str
    is_foreground: bool
    cpu: float
    elapsed: float
    started: float
    priority: int
    nice: int
    threads: int
    processor: int
    vsize: int
    rss: int
    command: str
    arguments: tuple[str, ...]
    uid: int
    euid: int
    gid: int
    egid: int
    locked: bool

    @property
    def percent_cpu(self) -> float:
        return 100 * self.cpu / self.elapsed if self.elapsed > 0 else 0.0


def read_process(pid: int) -> ProcessInfo | None:
    """None when it has ended meanwhile."""
    try:
        stat, status, line = (_read(pid, name) for name in ("stat", "status", "cmdline"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    # a command may contain parentheses: the last one ends it
    head, _, tail = stat.rpartition(")")
    words = tail.split()
    fields = {name: words[at] for at, name in enumerate(_STAT)}
    numbers = {name: int(word) for name, word in fields.items() if name != "state"}
    status_fields = dict(row.split(":", 1) for row in status.split("\n") if ":" in row)
    uid, euid, *_ = map(int, status_fields["Uid"].split())
    gid, egid, *_ = map(int, status_fields["Gid"].split())
    started = boot_time() + numbers["start"] / _TICKS
    return ProcessInfo(
        pid=pid,
        ppid=numbers["ppid"],
        pgid=numbers["pgid"],
        sid=numbers["sid"],
        tty=_terminal(numbers["tty"]),
        state=fields["state"],
        is_foreground=numbers["tpgid"] == numbers["pgid"],
        cpu=(numbers["utime"] + numbers["stime"]) / _TICKS,
        elapsed=max(time.time() - started, 0.0),
        started=started,
        priority=numbers["priority"],
        nice=numbers["nice"],
        threads=numbers["threads"],
        processor=int(words[_PROCESSOR]),
        vsize=numbers["vsize"],
        rss=numbers["rss"] * _PAGE,
        command=head.partition("(")[2],
        arguments=tuple(line.rstrip("\0").split("\0")) if line else (),
        uid=uid,
        euid=euid,
        gid=gid,
        egid=egid,
        locked=status_fields.get("VmLck", "0 kB").split()[0] != "0",
    )


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as stream:
        return stream.read()


@cache
def boot_time() -> float:
    with open("/proc/stat", encoding="ascii") as stream:
        for line in stream:
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0


def memory_total() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE


def _terminal(device: int) -> str:
    """The name of a terminal, from its device number: it has no path on the host."""
    major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
    if major in _PTS_MAJOR:
        return f"pts/{(major - _PTS_MAJOR.start) * 256 + minor}"
    if major == _TTY_MAJOR:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return "?"
