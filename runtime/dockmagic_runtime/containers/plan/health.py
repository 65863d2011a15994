"""Health checks: container's and image's options merged, and the form that the supervisor reads."""

from __future__ import annotations

from typing import Any, Final

from msgspec import to_builtins
from msgspec.structs import replace

from dockmagic_runtime.containers.plan.exec_process import process_spec
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ExecSpec, HealthCheck

_NANO: Final = 1_000_000_000
_SHELL: Final = ("/bin/sh", "-c")
# moby daemon/health.go
_DEFAULTS: Final = HealthCheck(interval=30, timeout=30, start_period=0, start_interval=5, retries=3)


def merged(asked: HealthCheck | None, image: HealthCheck | None) -> HealthCheck | None:
    """The options that were given, completed by the image's. Raises InvalidInput."""
    check = _filled(asked, image) if asked and image else asked or image
    if check is not None and check.test and check.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidInput(
            f"Unknown healthcheck type '{check.test[0]}' (expected 'CMD')",
        )
    return check


def _filled(check: HealthCheck, default: HealthCheck) -> HealthCheck:
    missing = {
        name: getattr(default, name) for name in check.__struct_fields__ if not getattr(check, name)
    }
    return replace(check, **missing)


def check_for(record: Record) -> dict[str, Any]:
    """For the supervisor, the fields of a `health.Check`; empty when nothing is checked."""
    asked = record.health
    if asked is None or not asked.test or asked.test[0] == "NONE":
        return {}
    from dockmagic_runtime.supervisor.health import Check

    kind, *command = asked.test
    argv = (*(record.shell or _SHELL), *command) if kind == "CMD-SHELL" else tuple(command)
    complete = _filled(asked, _DEFAULTS)
    check: dict[str, Any] = to_builtins(
        Check(
            process=to_builtins(process_spec(record, ExecSpec(command=argv))),
            interval=complete.interval,
            timeout=complete.timeout,
            start_period=complete.start_period,
            start_interval=complete.start_interval,
            retries=complete.retries,
        )
    )
    return check


def inspect_health(directory: str, rfc3339: Any) -> dict[str, Any]:
    """`State.Health` of `docker inspect`; `rfc3339` writes a time."""
    from dockmagic_runtime.supervisor import health

    status, streak, results = health.read(directory)
    return {
        "Status": status,
        "FailingStreak": streak,
        "Log": [
            {
                "Start": rfc3339(result.start),
                "End": rfc3339(result.end),
                "ExitCode": result.exit_code,
                "Output": result.output,
            }
            for result in results
        ],
    }


def inspect_check(check: HealthCheck) -> dict[str, Any]:
    """`Config.Healthcheck`: what was not given is left out, durations are nanoseconds."""
    values = {
        "Test": list(check.test),
        "Interval": int(check.interval * _NANO),
        "Timeout": int(check.timeout * _NANO),
        "StartPeriod": int(check.start_period * _NANO),
        "StartInterval": int(check.start_interval * _NANO),
        "Retries": check.retries,
    }
    return {key: value for key, value in values.items() if value}
