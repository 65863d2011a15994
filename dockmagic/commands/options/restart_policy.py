"""`--restart`, of `run`, `create` and `update`."""

from __future__ import annotations

from dockmagic.commands.options.flags import Flag, value
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import RestartPolicy

_NAMES = ("no", "always", "on-failure", "unless-stopped")

RESTART_FLAG: Flag = value(
    "restart", help="Restart policy to apply when a container exits", default_text='"no"'
)


def parse_restart(text: str) -> RestartPolicy:
    """`on-failure:3` and its like. Raises InvalidInput in Docker's words."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise InvalidInput("invalid restart policy format: no policy provided before colon")
    maximum = _count(count) if count else 0
    if name and name not in _NAMES:
        raise InvalidInput(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if maximum and name != "on-failure":
        negative = " and cannot be negative" if maximum < 0 else ""
        raise InvalidInput(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + negative
        )
    if maximum < 0:
        raise InvalidInput("invalid restart policy: maximum retry count cannot be negative")
    return RestartPolicy(name=name or "no", maximum=maximum)


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidInput(
            "invalid restart policy format: maximum retry count must be an integer"
        ) from None
