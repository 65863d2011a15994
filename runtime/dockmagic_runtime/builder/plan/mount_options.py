"""`RUN --mount` with its values: words of the Dockerfile → `StepMount`. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Final

from dockmagic_runtime.builder.plan.config import StageConfig
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import StepMount
from dockmagic_runtime.dockerfile.instructions import RunMount
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.go_values import parse_bool

SECRETS: Final = "/run/secrets"
AGENT: Final = "/run/buildkit/ssh_agent"
_SHARING: Final = ("shared", "private", "locked")
_ALIASES: Final = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
# what each kind knows, besides its target
_KNOWN: Final = {
    "bind": ("from", "source", "readonly", "readwrite"),
    "cache": ("from", "source", "readonly", "readwrite", "id", "sharing", "mode", "uid", "gid"),
    "tmpfs": ("size",),
    "secret": ("id", "source", "required", "mode", "uid", "gid", "env"),
    "ssh": ("id", "source", "required", "mode", "uid", "gid"),
}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)


def step_mount(
    mount: RunMount,
    config: StageConfig,
    expand: Callable[[str], str],
    source_stage_of: Callable[[str], SourceStage],
    *,
    number: int,
) -> StepMount:
    """The mount as it is asked for. `number` counts the instruction's mounts of this kind."""
    given = {_ALIASES.get(key, key): value for key, value in mount.options.items()}
    words = {key: value if key == "from" else expand(value) for key, value in given.items()}
    for key in words:
        if key != "target" and key not in _KNOWN[mount.kind]:
            raise InvalidInput(f"unexpected key '{key}' for mount type '{mount.kind}'")
    reader = _Reader(mount.kind, words, config)
    match mount.kind:
        case "bind":
            return reader.bind(source_stage_of)
        case "cache":
            return reader.cache(source_stage_of)
        case "tmpfs":
            return reader.tmpfs()
        case "secret":
            return reader.secret()
    return reader.ssh(number)


class _Reader:
    def __init__(self, kind: str, words: dict[str, str], config: StageConfig) -> None:
        self._kind = kind
        self._words = words
        self._config = config

    def bind(self, source_stage_of: Callable[[str], SourceStage]) -> StepMount:
        return StepMount(
            kind=self._kind,
            target=self._target(),
            source=self._source(),
            source_stage=source_stage_of(self._words.get("from", "")),
            read_only=self._read_only(default=True),
        )

    def cache(self, source_stage_of: Callable[[str], SourceStage]) -> StepMount:
        target = self._target()
        sharing = self._words.get("sharing", "shared")
        if sharing not in _SHARING:
            raise InvalidInput(
                f'unsupported sharing value "{sharing}"', hint=f"one of {', '.join(_SHARING)}"
            )
        return StepMount(
            kind=self._kind,
            target=target,
            source=self._source(),
            source_stage=source_stage_of(self._words["from"]) if "from" in self._words else None,
            read_only=self._read_only(default=False),
            id=self._words.get("id") or target,
            sharing=sharing,
            mode=self._mode(0o755),
            uid=self._number("uid"),
            gid=self._number("gid"),
        )

    def tmpfs(self) -> StepMount:
        size = self._words.get("size", "")
        return StepMount(kind=self._kind, target=self._target(), size=_bytes(size) if size else 0)

    def secret(self) -> StepMount:
        words = self._words
        target, env = words.get("target", ""), words.get("env", "")
        id = words.get("source") or words.get("id") or posixpath.basename(target)
        if not id:
            raise InvalidInput("one of source, target required")
        if not target and not env:
            target = f"{SECRETS}/{posixpath.basename(id)}"
        return self._handed(target and self._absolute(target), id, 0o400, env)

    def ssh(self, number: int) -> StepMount:
        target = self._words.get("target") or f"{AGENT}.{number}"
        id = self._words.get("source") or self._words.get("id") or "default"
        return self._handed(self._absolute(target), id, 0o600, "")

    def _handed(self, target: str, id: str, mode: int, env: str) -> StepMount:
        return StepMount(
            kind=self._kind,
            target=target,
            read_only=True,
            id=id,
            mode=self._mode(mode),
            uid=self._number("uid"),
            gid=self._number("gid"),
            required=self._switch("required"),
            env=env,
        )

    def _target(self) -> str:
        target = self._words.get("target", "")
        if not target:
            raise InvalidInput("invalid mount config: a mount needs a target")
        target = self._absolute(target)
        if target == "/":
            raise InvalidInput(f'invalid mount target "{target}": the root is not a mount point')
        return target

    def _absolute(self, path: str) -> str:
        return self._config.path(path)

    def _source(self) -> str:
        return posixpath.normpath(posixpath.join("/", self._words.get("source", "")))

    def _read_only(self, *, default: bool) -> bool:
        if "readonly" in self._words:
            return self._switch("readonly")
        return not self._switch("readwrite") if "readwrite" in self._words else default

    def _switch(self, key: str) -> bool:
        value = self._words.get(key, "false")
        try:
            return not value or parse_bool(value)  # the key alone is true
        except ValueError:
            raise InvalidInput(f"invalid value for {key}: {value}") from None

    def _number(self, key: str) -> int:
        value = self._words.get(key, "0")
        if not (value.isascii() and value.isdigit() and len(value) < 11):
            raise InvalidInput(f"invalid value {value} for {key}")
        return int(value)

    def _mode(self, default: int) -> int:
        value = self._words.get("mode", "")
        if not value:
            return default
        if not re.fullmatch(r"[0-7]{1,5}", value):
            raise InvalidInput(f"invalid value {value} for mode")
        return int(value, 8) & 0o7777


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"invalid value for size: {text}")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))
