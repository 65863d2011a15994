"""`RUN --mount=type=…`: its comma-separated options."""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.dockerfile.errors import Refusal, near
from dockmagic_runtime.dockerfile.expand import unquote
from dockmagic_runtime.dockerfile.instructions import RunMount
from dockmagic_runtime.dockerfile.request import Request
from dockmagic_runtime.dockerfile.words import Word

_KINDS: Final = ("bind", "cache", "tmpfs", "secret", "ssh")
_SWITCHES: Final = ("readonly", "ro", "rw", "readwrite", "required")
_VALUES: Final = "type from source src target dst destination id sharing size mode uid gid env"
_OPTIONS: Final = (*_SWITCHES, *_VALUES.split())


def run_mount(request: Request, word: Word) -> RunMount:
    options: dict[str, str] = {}
    for part in unquote(word.text, request.escape).split(","):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if name not in _OPTIONS:
            raise Refusal(f"unexpected key '{name}' in '{part}'", word.offset, near(name, _OPTIONS))
        if not equals and name not in _SWITCHES:
            raise Refusal(f"invalid field '{part}' must be a key=value pair", word.offset)
        options[name] = value if equals else "true"
    kind = options.pop("type", "bind")
    if kind not in _KINDS:
        raise Refusal(f'unsupported mount type "{kind}"', word.offset, near(kind, _KINDS))
    return RunMount(kind=kind, options=options, word=word.text)
