"""Where the output of a container goes: computed by the engine, used by the supervisor."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field, to_builtins


class LogFile(Struct, frozen=True, kw_only=True):
    """How the file is kept. `max_size` is in bytes, 0 for no limit; `max_file` counts the file that
    is written too. `attributes` are written with every entry."""

    max_size: int = 0
    max_file: int = 1
    compress: bool = False
    attributes: dict[str, str] = {}


class LogSettings(Struct, frozen=True, kw_only=True):
    """`driver` is that of a destination besides the file, "" for none, with its raw `options`, its
    `tag` and its `fields`. `file` is None for a container without a log.

    `buffer_size` in bytes: 0 lets the program wait for a slow destination, else the oldest output
    beyond that is dropped.
    """

    file: LogFile | None = None
    driver: str = ""
    options: dict[str, str] = field(default_factory=dict)
    tag: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    buffer_size: int = 0

    @property
    def needs_process(self) -> bool:
        """Whether to write in a process of its own: only there may a write take long."""
        return bool(self.driver or self.buffer_size)

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = to_builtins(self)
        return wire

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> LogSettings:
        file = wire.get("file")
        return cls(**{**wire, "file": None if file is None else LogFile(**file)})
