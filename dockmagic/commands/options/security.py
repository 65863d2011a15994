"""`--security-opt`. A seccomp profile is a file of the caller's, so it is read here."""

from __future__ import annotations

from collections.abc import Iterable

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.options import security


def parse_security(options: Iterable[str]) -> tuple[str, ...]:
    """As the engine wants them: `key=value`, the profile's text in place of its file's name."""
    return security.parse_security(options, _profile)


def _profile(name: str) -> str:
    import json
    from pathlib import Path

    try:
        profile = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InvalidInput(
            f"opening seccomp profile ({name}) failed: open {name}: {reason}",
            hint="the file's path, or unconfined",
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"compacting json for seccomp profile ({name}) failed: {error}"
        ) from None
    return json.dumps(profile, separators=(",", ":"))
