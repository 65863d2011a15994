"""Errors of the processes that start a program, as messages to the engine."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime import errors
from dockmagic_runtime.errors import DockmagicError, StartFailed


def rebuild_error(values: dict[str, Any]) -> DockmagicError:
    """The error that `child.describe_error` described."""
    kind = getattr(errors, values["kind"])
    if issubclass(kind, StartFailed | errors.ProcessFailed):
        error: DockmagicError = kind(
            values["message"], hint=values["hint"], exit_code=values["exit_code"]
        )
    else:
        error = kind(values["message"], hint=values["hint"])
    return error
