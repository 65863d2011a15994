"""`--security-opt` and `SecurityOpt`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from dockmagic_runtime.errors import InvalidInput, Unsupported

_TRUE, _FALSE = frozenset(["1", "t", "true"]), frozenset(["0", "f", "false"])


def parse_security(options: Iterable[str], profile: Callable[[str], str] = str) -> tuple[str, ...]:
    """As the engine wants them: `key=value`. `profile` returns the text of a seccomp profile."""
    return tuple(kept for option in options for kept in _option(option, profile))


def _option(option: str, profile: Callable[[str], str]) -> Iterator[str]:
    """None or one: what asks for the default needs no saying."""
    key, separator, text = option.partition("=" if "=" in option else ":")
    if key == "no-new-privileges":
        if _truth(text or "true", option):
            yield key
    elif not separator or not text:
        raise InvalidInput(f'Invalid --security-opt: "{option}"')
    elif key == "seccomp":
        if text != "builtin":
            yield f"seccomp={text if text == 'unconfined' else profile(text)}"
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
