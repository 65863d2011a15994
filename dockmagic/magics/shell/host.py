"""Runs what only a real shell can: pipes, redirections, loops, and the programs of the host.

The shell is `sh` with the kernel's environment and folder. What a line changes of them (`cd`,
`export`, `unset`, `. ./settings`) the kernel takes over when the line has ended, so that the next
one sees it, as in a terminal.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final, Protocol

from msgspec import Struct

from dockmagic.magics.shell.scan import NAME

Write = Callable[[str, bytes], None]

_SHELL: Final = "/bin/sh"
_UNSHARED: Final = frozenset(("PWD", "OLDPWD", "SHLVL", "_"))  # each shell has its own
_GRACE: Final = 5.0  # seconds for a program that was interrupted


class Programs(Protocol):
    """Programs that a script finds first, made when they are first wanted."""

    @property
    def directory(self) -> str: ...


class Host(Struct, frozen=True):
    """The shell of one notebook. `programs` is a directory that comes before the others of PATH.

    `environment` is changed by `run` as a line changes its own; `hidden` are further variables
    that the shell knows and does not pass on.
    """

    programs: Programs
    environment: MutableMapping[str, str]

    def run(
        self,
        script: str,
        write: Write,
        *,
        hidden: Mapping[str, str] | None = None,
        lent: Mapping[str, str] | None = None,
        status: int = 0,
    ) -> int:
        """Runs a script to its end, passes its output on, and returns its exit code.

        `hidden` variables are set in the shell only, `lent` ones in its programs too; neither
        stays in the environment. `status` is what `$?` is at first. An interrupt reaches all
        processes of the script, which are killed if they take too long over it.
        """
        state = os.memfd_create("dockmagic-shell")
        try:
            os.set_inheritable(state, True)
            code = _run(
                [_SHELL, "-c", _framed(script, state, hidden or {}, status)],
                {**self.environment, **(lent or {}), "PATH": self._search_path()},
                write,
                state,
            )
            os.lseek(state, 0, os.SEEK_SET)
            with os.fdopen(os.dup(state), "rb") as stream:
                self._adopt(os.fsdecode(stream.read()), lent or {})
        finally:
            os.close(state)
        return code

    def output(self, script: str, write: Write, *, hidden: Mapping[str, str] | None = None) -> str:
        """What a script writes to its standard output; it changes nothing of the kernel's."""
        kept = bytearray()

        def pick(stream: str, data: bytes) -> None:
            kept.extend(data) if stream == "stdout" else write(stream, data)

        environment = {**self.environment, "PATH": self._search_path()}
        _run([_SHELL, "-c", _framed(script, None, hidden or {}, 0)], environment, pick)
        return kept.decode(errors="surrogateescape")

    def _search_path(self) -> str:
        return os.pathsep.join((self.programs.directory, self.environment.get("PATH", os.defpath)))

    def _adopt(self, state: str, lent: Mapping[str, str]) -> None:
        folder, ended, exported = state.partition("\n\0")
        if not ended:
            return  # the shell gave its place to a program
        if folder != os.getcwd():
            os.chdir(folder)
        after = _variables(exported)
        ours = self.programs.directory
        path = after.get("PATH", "").split(os.pathsep)
        after["PATH"] = os.pathsep.join(path[1:] if path[0] == ours else path)
        for name, value in after.items():
            is_new = self.environment.get(name) != value and lent.get(name) != value
            if is_new and name not in _UNSHARED:
                self.environment[name] = value
        for name in set(self.environment) - set(after) - _UNSHARED:
            if re.fullmatch(NAME, name):  # the shell does not pass on what is no name of its own
                del self.environment[name]


def _framed(script: str, state: int | None, hidden: Mapping[str, str], status: int) -> str:
    lines = [f"{name}={shlex.quote(value)}" for name, value in hidden.items()]
    if state is not None:
        lines.append(f"trap '{{ pwd -P; printf \"\\\\0\"; export -p; }} >/dev/fd/{state}' EXIT")
    if status:
        lines.append(f"(exit {status})")
    return "\n".join([*lines, script])


def _variables(exported: str) -> dict[str, str]:
    """The variables in what `export -p` prints."""
    words = [word for word in shlex.split(exported) if word not in ("export", "declare", "-x")]
    pairs = (word.partition("=") for word in words)
    return {name: value for name, equals, value in pairs if equals}


def is_complete(script: str) -> bool:
    """Whether a text is a whole command: the shell reads it and does nothing."""
    read = subprocess.run(
        [_SHELL, "-n", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return read.returncode == 0


def _run(words: list[str], environment: dict[str, str], write: Write, *passed: int) -> int:
    process = subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=passed,
        process_group=0,
    )
    try:
        _pass_on(process, write)
        return _code(process.wait())
    except BaseException:
        _end(process)
        raise
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _code(returned: int) -> int:
    return 128 - returned if returned < 0 else returned


def _pass_on(process: subprocess.Popen[bytes], write: Write) -> None:
    """Until both streams have ended, or the shell has: a job that it left may hold them open."""
    with selectors.DefaultSelector() as selector:
        for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        ended = os.pidfd_open(process.pid)
        try:
            selector.register(ended, selectors.EVENT_READ, "")
            has_ended = False
            while len(selector.get_map()) > 1:
                ready = selector.select(0 if has_ended else None)
                streams = [key for key, _ in ready if key.data]
                if has_ended and not streams:
                    break
                has_ended = has_ended or len(streams) < len(ready)
                for key in streams:
                    data = os.read(key.fd, 1 << 16)
                    write(key.data, data) if data else selector.unregister(key.fileobj)
        finally:
            os.close(ended)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupts all processes of the script, and kills those that do not end."""
    for number, limit in ((signal.SIGINT, _GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(limit)
            return
        except ProcessLookupError:
            process.wait(limit)
            return
        except subprocess.TimeoutExpired:
            continue
