"""`--security-opt`. A seccomp profile is a file of the caller's, so it is read here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dockmagic_runtime.errors import InvalidInput, Unsupported

_TRUE, _FALSE = frozenset(["1", "t", "true"]), frozenset(["0", "f", "false"])


def parse_security(options: Iterable[str]) -> tuple[str, ...]:
    """As the engine wants them: `key=value`, the profile's text in place of its file's name."""
    return tuple(kept for option in options for kept in _option(option))


def _option(option: str) -> Iterator[str]:
    """None or one: what asks for the default needs no saying."""
    key, separator, text = option.partition("=" if "=" in option else ":")
    if key == "no-new-privileges":
        if _truth(text or "true", option):
            yield key
    elif not separator or not text:
        raise InvalidInput(f'Invalid --security-opt: "{option}"')
    elif key == "seccomp":
        if text != "builtin":
            yield f"seccomp={text if text == 'unconfined' else _profile(text)}"
    elif key == "systempaths":
        if text != "unconfined":
            raise InvalidInput(f'invalid --security-opt 2: "{option}"')
        yield f"{key}={text}"
    else:
        _check_absent(key, text, option)


def _truth(text: str, option: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise InvalidInput(f'invalid --security-opt 2: "{option}"')


def _check_absent(key: str, text: str, option: str) -> None:
    """Labels and profiles that are not there can be turned off, and nothing else."""
    if key not in ("label", "apparmor"):
        raise InvalidInput(f'invalid --security-opt 2: "{option}"')
    if text not in ("disable", "unconfined"):
        what = "SELinux labels" if key == "label" else "AppArmor profiles"
        raise Unsupported(f"--security-opt {option}: {what} are not supported")


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
