"""`docker build --call`: what a Dockerfile offers and takes, without building it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct, to_builtins

from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import layout
from dockmagic_runtime.model.outline import BuildInput, BuildOutline

_METHODS = ("build", "check", "outline", "targets")
_FORMATS = ("text", "json")


class Call(Struct, frozen=True):
    """`--call METHOD[,format=json]`."""

    method: str = "build"
    format: str = "text"


def parse_call(text: str) -> Call:
    method, *options = text.split(",")
    method = {"lint": "check", "": "build"}.get(method, method)
    if method not in _METHODS:
        raise ValueError(f"one of {', '.join(_METHODS)}")
    format = "text"
    for option in options:
        name, _, format = option.partition("=")
        if name != "format" or format not in _FORMATS:
            raise ValueError(f"unexpected option '{option}', there is format=text|json")
    return Call(method, format)


class Targets(Result, frozen=True):
    """The stages of a Dockerfile."""

    outline: BuildOutline
    format: str = "text"

    def text(self) -> str:
        if self.format == "json":
            return _json({"default": self._default(), "targets": self.rows()})
        rows = [
            [f"{target.name} (default)" if target.is_default else target.name, target.description]
            for target in self.outline.targets
        ]
        return layout([["TARGET", "DESCRIPTION"], *rows])

    def _default(self) -> str:
        return next(target.name for target in self.outline.targets if target.is_default)

    def rows(self) -> list[dict[str, Any]]:
        return [to_builtins(target) for target in self.outline.targets]


class Outline(Result, frozen=True):
    """What the target takes: arguments, secrets, agents."""

    outline: BuildOutline
    format: str = "text"

    def text(self) -> str:
        outline = self.outline
        if self.format == "json":
            return _json({**to_builtins(outline.target), "args": self.rows(), **self._inputs()})
        head = [["TARGET:", outline.target.name], ["DESCRIPTION:", outline.target.description]]
        parts = [layout([row for row in head if row[1]])]
        parts += self._tables()
        return "\n\n".join(parts)

    def _inputs(self) -> dict[str, Any]:
        return {
            "secrets": [to_builtins(entry) for entry in self.outline.secrets],
            "ssh": [to_builtins(entry) for entry in self.outline.ssh],
        }

    def _tables(self) -> Iterable[str]:
        outline = self.outline
        if outline.arguments:
            rows = [[arg.name, arg.value or "", arg.description] for arg in outline.arguments]
            yield layout([["BUILD ARG", "VALUE", "DESCRIPTION"], *rows])
        for heading, inputs in (("SECRET", outline.secrets), ("SSH", outline.ssh)):
            if inputs:
                yield layout([[heading, "REQUIRED"], *_required(inputs)])

    def rows(self) -> list[dict[str, Any]]:
        return [to_builtins(entry) for entry in self.outline.arguments]


def _required(inputs: Sequence[BuildInput]) -> list[list[str]]:
    return [[entry.id, "true" if entry.required else ""] for entry in inputs]


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
