"""`--log-driver` and `--log-opt`."""

from __future__ import annotations

from dockmagic.commands.quantities import parse_decimal_size
from dockmagic_runtime.errors import InvalidInput, Unsupported

_DRIVERS = ("json-file", "local", "none")
# Docker's others, which send the log elsewhere, and the options of ours that are not there yet.
_ELSEWHERE = frozenset("awslogs etwlogs fluentd gcplogs gelf journald splunk syslog".split())
_OPTIONS = ("max-size", "max-file")
_DOCKERS = frozenset("compress env env-regex labels labels-regex max-buffer-size mode tag".split())


def check_log(driver: str, options: dict[str, str]) -> None:
    """Raises InvalidInput in Docker's words, Unsupported for what only Docker has."""
    if driver in _ELSEWHERE:
        raise Unsupported(
            f"the log driver '{driver}' is not supported",
            hint=f"{', '.join(_DRIVERS)} are; 'docker logs' reads the first two",
        )
    if driver not in _DRIVERS:
        raise InvalidInput(
            f"logger: no log driver named '{driver}' is registered", hint=", ".join(_DRIVERS)
        )
    if driver == "none" and options:
        raise InvalidInput("invalid logging opts for driver none")
    for name in options:
        _check_known(driver, name)
    _check_rotation(options)


def _check_known(driver: str, name: str) -> None:
    if name in _OPTIONS:
        return
    if name in _DOCKERS:
        hint = f"{' and '.join(_OPTIONS)} are"
        raise Unsupported(f"the log option '{name}' is not supported", hint=hint)
    raise InvalidInput(f"unknown log opt '{name}' for {driver} log driver")


def _check_rotation(options: dict[str, str]) -> None:
    try:
        size = parse_decimal_size(options["max-size"]) if "max-size" in options else 1
        count = int(options.get("max-file", "1"))
    except ValueError as error:
        raise InvalidInput(str(error), hint="--log-opt max-size=10m, max-file=3") from None
    if size <= 0:
        raise InvalidInput("max-size must be a positive number")
    if count < 1:
        raise InvalidInput("max-file cannot be less than 1")
