"""`--detach-keys`: what is typed to leave a container that goes on."""

from __future__ import annotations

from dockmagic.commands.options.flags import Flag, value
from dockmagic_runtime.errors import InvalidInput


def check_keys(text: str) -> str:
    """The text itself. Raises InvalidInput before anything is started for it."""
    parse_keys(text)
    return text


def parse_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` as the bytes a terminal sends. An empty text means none."""
    return b"".join(_key(name) for name in text.split(",") if text)


def _key(name: str) -> bytes:
    if len(name) == 1 and name.isascii():
        return name.encode()
    letter = name.removeprefix("ctrl-")
    if name.startswith("ctrl-") and len(letter) == 1 and ("@" <= letter.upper() <= "_"):
        return bytes([ord(letter.upper()) & 0x1F])
    raise InvalidInput(
        f"invalid detach keys ({name}) provided",
        hint="letters, and ctrl- with a letter or one of @[\\]^_, between commas",
    )


DETACH_KEYS: Flag = value(
    "detach-keys",
    help="Override the key sequence for detaching a container",
    default="ctrl-p,ctrl-q",
    default_text="",
    convert=check_keys,
)
