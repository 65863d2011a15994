"""`--change` of commit and import: Dockerfile instructions that only touch an image's config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.builder.plan.config import Json, StageConfig, apply
from dockmagic_runtime.builder.plan.scope import Scope
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile import parse_trigger
from dockmagic_runtime.errors import InvalidInput

_ALLOWED: Final = tuple(
    kind.keyword
    for kind in (
        i.Cmd,
        i.Entrypoint,
        i.Env,
        i.Expose,
        i.Healthcheck,
        i.Label,
        i.Onbuild,
        i.StopSignal,
        i.User,
        i.Volume,
        i.Workdir,
    )
)


def apply_changes(config: Json, changes: Sequence[str]) -> Json:
    """The config after the instructions. Variables are those of its ENV.

    Raises InvalidInput for an instruction that does more than change a config.
    """
    stage = StageConfig(config)
    scope = Scope({}, {})
    for text in changes:
        word = text.split(maxsplit=1)[0] if text.strip() else ""
        if word.upper() not in _ALLOWED:
            raise InvalidInput(
                f"{word.lower()} is not a valid change command",
                hint=f"one of {', '.join(_ALLOWED)}",
            )
        instruction = parse_trigger(text, i.Position(line=1, last_line=1))
        scope.set_env(stage.json.get("Env") or ())
        stage = apply(scope.expanded(instruction, scope.variables()), stage)
    # what only BuildKit says of a CMD
    changed = {**stage.json, "ArgsEscaped": config.get("ArgsEscaped")}
    return {key: value for key, value in changed.items() if value is not None}
