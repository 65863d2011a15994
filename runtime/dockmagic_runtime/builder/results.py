"""The outcome of one step: a layer, or only a change of the config."""

from __future__ import annotations

from msgspec import Struct


class Result(Struct, frozen=True, kw_only=True):
    """What a step came to. `chain_id` and the rest are empty when it made no layer."""

    created: str
    chain_id: str = ""
    diff_id: str = ""
    size: int = 0


class StepResult(Struct, frozen=True):
    """What a step of this build came to, and the chain that it stands on ("" for none)."""

    key: str
    below: str
    result: Result
