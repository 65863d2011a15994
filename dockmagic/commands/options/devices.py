"""`--device`, `--device-cgroup-rule` and `--gpus`."""

from __future__ import annotations

import posixpath
import re

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.container import Device

_RULE = r"[acb] (?:[0-9]+|\*):(?:[0-9]+|\*) [rwm]{1,3}"
_VENDOR = r"[a-zA-Z][\w.-]*/[a-zA-Z][\w-]*=.+"


def parse_device(text: str) -> Device:
    """One `--device`: `HOST[:CONTAINER][:PERMISSIONS]`. Raises InvalidInput in Docker's words."""
    if re.fullmatch(_VENDOR, text):
        raise Unsupported(
            f"--device {text}: devices of a vendor's driver (CDI) are not supported",
            hint="give the device node, such as /dev/fuse",
        )
    source, *rest = text.split(":")
    if not source or len(rest) > 2:
        raise InvalidInput(f"bad format for path: {text}")
    permissions = "rwm"
    if len(rest) == 2 and not _is_mode(rest[1]):
        raise InvalidInput(f"bad mode specified: {rest[1]}", hint="letters of rwm, each once")
    if rest and _is_mode(rest[-1]):
        permissions = rest.pop()
    target = rest[0] if rest else source
    if not target.startswith("/"):
        raise InvalidInput(f"{target} is not an absolute path", hint=f"in '--device {text}'")
    return Device(
        source=posixpath.normpath(source),
        target=posixpath.normpath(target),
        permissions=permissions,
    )


def _is_mode(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def parse_device_rule(text: str) -> str:
    if not re.fullmatch(_RULE, text):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def check_gpus(text: str) -> str:
    """What is wrong with the text itself; that there are none is said after that."""
    for field in text.strip('"').split(","):
        key, equals, setting = field.partition("=")
        key, setting = (key, setting) if equals else ("count", key)
        if key not in ("count", "driver", "capabilities", "device", "options"):
            raise ValueError(f"unexpected key '{key}' in '{field}'")
        if key == "count" and setting != "all" and not re.fullmatch("-?[0-9]+", setting):
            raise ValueError(
                f"invalid count ({setting}): "
                'value must be either "all" or an integer: invalid syntax'
            )
    return text
