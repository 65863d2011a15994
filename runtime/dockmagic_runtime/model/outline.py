"""What a Dockerfile offers, without building it: `--call=targets` and `--call=outline`."""

from __future__ import annotations

from msgspec import Struct


class BuildTarget(Struct, frozen=True, kw_only=True):
    """A stage; `name` is its number where it has none, `base` as it is written."""

    name: str
    base: str
    description: str = ""
    is_default: bool = False


class BuildArgument(Struct, frozen=True, kw_only=True):
    """An ARG with its value in this build; `value` None where it has none."""

    name: str
    value: str | None
    description: str = ""


class BuildInput(Struct, frozen=True, kw_only=True):
    """A secret or an agent, by the id that `--secret` or `--ssh` gives it."""

    id: str
    required: bool


class BuildOutline(Struct, frozen=True, kw_only=True):
    """All stages of the file, and what those of the target take. `warnings` of the checks."""

    targets: tuple[BuildTarget, ...]
    target: BuildTarget
    arguments: tuple[BuildArgument, ...]
    secrets: tuple[BuildInput, ...]
    ssh: tuple[BuildInput, ...]
