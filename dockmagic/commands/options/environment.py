"""`-e`, `--env-file`, `--label` and their files: lists of KEY=value."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from dockmagic.commands.output.files import opened
from dockmagic_runtime.errors import InvalidInput


def check_env(text: str) -> str:
    """Accept `KEY=value` and `KEY`; the reason for refusing is a ValueError for the flag."""
    if not text or text.startswith("="):
        raise ValueError(f"invalid environment variable: {text}")
    return text


def check_label(text: str) -> str:
    if not text or text.startswith("="):
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def read_env(
    files: Iterable[str], given: Iterable[str], environ: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Variables of the files, then those of the flags: the later of two with one name wins.

    A bare `KEY` takes the caller's own value. If there is none, that of a file disappears and
    that of a flag stays bare: it takes the variable away.
    """
    environ = os.environ if environ is None else environ
    lines: dict[str, str] = {}
    for text in (line for file in files for line in file_lines(file)):
        key = text.partition("=")[0]
        if (line := _with_value(text, environ)) != key:
            lines[key] = line
    for text in given:
        lines[text.partition("=")[0]] = _with_value(text, environ)
    return tuple(lines.values())


def _with_value(text: str, environ: Mapping[str, str]) -> str:
    return f"{text}={environ[text]}" if "=" not in text and text in environ else text


def read_labels(files: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    lines = (*(line for file in files for line in file_lines(file)), *given)
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def file_lines(name: str) -> Iterator[str]:
    """The variables of one file: no quotes, `#` only where a line begins."""
    with opened(name) as file:
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"env file {name} contains invalid utf8 bytes at line {number}"
        ) from None
    for line in text.splitlines():
        stripped = line.lstrip()
        if stripped and not stripped.startswith("#"):
            yield _checked(stripped, name)


def _checked(line: str, name: str) -> str:
    key, _, value = line.partition("=")
    if not key:
        raise InvalidInput(f"invalid env file ({name}): no variable name on line '{line}'")
    if any(character.isspace() for character in key):
        raise InvalidInput(
            f"invalid env file ({name}): variable '{key}' contains whitespaces",
            hint="one KEY=value a line, without quotes",
        )
    return f"{key}={value}" if "=" in line else key
