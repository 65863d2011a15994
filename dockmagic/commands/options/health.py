"""`--health-*` and `--no-healthcheck`."""

from __future__ import annotations

from dockmagic.commands.options.flags import Arguments, Flag, integer, switch, value
from dockmagic.commands.units import parse_seconds
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import HealthCheck

_MINIMUM = 0.001  # seconds


def _duration(name: str, help: str) -> Flag:
    return value(
        name, help=help, type="duration", default=0.0, default_text="0s", convert=parse_seconds
    )


_DURATIONS: dict[str, tuple[str, str]] = {
    "health-interval": ("Interval", "Time between running the check (ms|s|m|h)"),
    "health-timeout": ("Timeout", "Maximum time to allow one check to run (ms|s|m|h)"),
    "health-start-period": (
        "StartPeriod",
        "Start period for the container to initialize before starting health-retries countdown "
        "(ms|s|m|h)",
    ),
    "health-start-interval": (
        "StartInterval",
        "Time between running the check during the start period (ms|s|m|h)",
    ),
}
HEALTH_FLAGS: tuple[Flag, ...] = (
    value("health-cmd", help="Command to run to check health"),
    *(_duration(name, help) for name, (_, help) in _DURATIONS.items()),
    integer("health-retries", help="Consecutive failures needed to report unhealthy"),
    switch("no-healthcheck", help="Disable any container-specified HEALTHCHECK"),
)


def health(arguments: Arguments) -> HealthCheck | None:
    """None leaves the image's check as it is. Raises InvalidInput in Docker's words."""
    flag = arguments.flag
    command, retries = flag("health-cmd"), flag("health-retries")
    seconds = [flag(name) for name in _DURATIONS]
    is_asked = bool(command or retries or any(seconds))
    if flag("no-healthcheck"):
        if is_asked:
            raise InvalidInput("--no-healthcheck conflicts with --health-* options")
        return HealthCheck(test=("NONE",))
    if not is_asked:
        return None
    _check(arguments)
    interval, timeout, start_period, start_interval = seconds
    return HealthCheck(
        test=("CMD-SHELL", command) if command else (),
        interval=interval,
        timeout=timeout,
        start_period=start_period,
        start_interval=start_interval,
        retries=retries,
    )


def _check(arguments: Arguments) -> None:
    for name in (*_DURATIONS, "health-retries"):
        if arguments.flag(name) < 0:
            raise InvalidInput(f"--{name} cannot be negative")
    for name, (field, _) in _DURATIONS.items():
        if 0 < arguments.flag(name) < _MINIMUM:
            raise InvalidInput(f"{field} in Healthcheck cannot be less than 1ms")
