"""The options of `--log-driver` and `--log-opt`, checked before a container is created.

Texts are those of dockerd 20.10 and 28 (moby daemon/logger). Docker checks some options when the
container starts, with the prefix "failed to initialize logging driver"; here all are checked first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.go_values import parse_bool
from dockmagic_runtime.supervisor.logs import syslog, tags

DRIVERS: Final = ("json-file", "local", "none", "journald", "syslog")
BUFFER_SIZE: Final = 1_048_576  # bytes, Docker's default for mode=non-blocking
_ELSEWHERE: Final = frozenset("awslogs etwlogs fluentd gcplogs gelf splunk".split())
_ATTRIBUTES: Final = frozenset("labels labels-regex env env-regex tag".split())
_FILES: Final = frozenset(["max-size", "max-file", "compress"])
_KNOWN: Final = {
    "json-file": _FILES | _ATTRIBUTES,
    "local": _FILES,
    "journald": _ATTRIBUTES,
    "syslog": _ATTRIBUTES | syslog.OPTIONS,
}
_FOR: Final = {
    "json-file": "for json-file log driver",
    "local": "for log driver local",
    "journald": "for journald log driver",
    "syslog": "for syslog log driver",
}
# of all drivers: how the program waits, and the file that `logs` reads of drivers without one
_COMMON: Final = frozenset(["mode", "max-buffer-size", "cache-disabled"])
_CACHE_FILES: Final = frozenset(["cache-max-size", "cache-max-file", "cache-compress"])
_FAILED: Final = "failed to initialize logging driver: "
_SIZE: Final = r"(?i)([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?"


class LogOptions(Struct, frozen=True, kw_only=True):
    """`max_size` is in bytes, 0 for no limit; `max_file` counts the file that is written too.
    `buffer_size` in bytes: with mode=non-blocking, 0 otherwise. `has_file`: `logs` can read it."""

    max_size: int = 0
    max_file: int = 1
    compress: bool = False
    buffer_size: int = 0
    has_file: bool = True


def log_options(driver: str, options: Mapping[str, str]) -> LogOptions:
    """What the options mean. Raises InvalidInput in Docker's words, Unsupported for drivers that
    are Docker's only."""
    if driver == "none":
        if options:
            raise InvalidInput("invalid logging opts for driver none")
        return LogOptions(has_file=False)
    buffer_size = _buffer_size(options)
    is_cached = not _parsed_bool(options, "cache-disabled")
    _check_driver(driver)
    for name in options:
        if name not in _KNOWN[driver] | _COMMON | _CACHE_FILES:
            raise InvalidInput(f"unknown log opt '{name}' {_FOR[driver]}")
    tags.check(options)
    if driver == "syslog":
        syslog.check(options)
    if driver in ("journald", "syslog"):
        # Docker keeps a file of the driver `local` beside these: `logs` reads it
        cache = {name.removeprefix("cache-"): options[name] for name in _CACHE_FILES & set(options)}
        kept = _file_options("local", cache)
    else:
        kept = _file_options(driver, options)
    has_file = is_cached or driver in ("json-file", "local")
    return replace(kept, buffer_size=buffer_size, has_file=has_file)


def _check_driver(driver: str) -> None:
    if driver in _ELSEWHERE:
        raise Unsupported(
            f"the log driver '{driver}' is not supported", hint=f"{', '.join(DRIVERS)} are"
        )
    if driver not in DRIVERS:
        raise InvalidInput(
            f"logger: no log driver named '{driver}' is registered", hint=", ".join(DRIVERS)
        )


def _buffer_size(options: Mapping[str, str]) -> int:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidInput(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" not in options:
        return BUFFER_SIZE if mode == "non-blocking" else 0
    if mode != "non-blocking":
        raise InvalidInput(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
        )
    return _size(options["max-buffer-size"], "error parsing option max-buffer-size: ", 1024)


def _parsed_bool(options: Mapping[str, str], name: str) -> bool:
    if name not in options:
        return False
    try:
        return parse_bool(options[name])
    except ValueError:
        raise InvalidInput(f"invalid value for option {name}: {options[name]}") from None


def _file_options(driver: str, options: Mapping[str, str]) -> LogOptions:
    is_local = driver == "local"
    size, files, compress = (20_000_000, 5, True) if is_local else (0, 1, False)
    if "max-size" in options:
        text = options["max-size"]
        size = _size(
            text, f"{_FAILED}invalid value for max-size: {text}: " if is_local else _FAILED
        )
        if size <= 0:
            raise InvalidInput(f"{_FAILED}max-size must be a positive number")
    if "max-file" in options:
        files = _max_file(options["max-file"])
    if "compress" in options:
        try:
            compress = parse_bool(options["compress"])
        except ValueError as error:
            where = "error reading compress log option: " if is_local else ""
            raise InvalidInput(f"{_FAILED}{where}{error}") from None
        if compress and (files < 2 or not size):
            raise InvalidInput(
                f"{_FAILED}compress cannot be true when max-file is less than 2 or max-size is "
                "not set"
            )
    return LogOptions(max_size=size, max_file=files, compress=compress and files > 1)


def _size(text: str, prefix: str, unit: int = 1000) -> int:
    """`10m` of a file is ten million bytes, of a buffer 10 * 1024 * 1024, as in Docker."""
    match = re.fullmatch(_SIZE, text)
    if match is None:
        raise InvalidInput(f"{prefix}invalid size: '{text}'")
    return int(float(match[1]) * unit ** "_kmgtp".index(match[2].lower() or "_"))


def _max_file(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise InvalidInput(f'{_FAILED}strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 1:
        raise InvalidInput(f"{_FAILED}max-file cannot be less than 1")
    return int(text)


def check_host(driver: str, options: Mapping[str, str]) -> None:
    """Raises InvalidInput, before a start, where this host has no such destination."""
    if driver == "journald" and not os.path.exists("/run/systemd/journal/socket"):
        raise InvalidInput(f"{_FAILED}journald is not enabled on this host")
    if driver == "syslog":
        try:
            syslog.connect(options).close()
        except OSError as error:
            raise InvalidInput(f"{_FAILED}{syslog.reason(error, options)}") from error
