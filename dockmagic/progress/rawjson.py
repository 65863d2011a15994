"""`--progress rawjson`: the events in the JSON of BuildKit's client, one object a line."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any, TextIO

from dockmagic_runtime.model.build import (
    BuildDone,
    BuildStarted,
    BuildWarning,
    StepDone,
    StepFailed,
    StepOutput,
    StepStarted,
    StepStatus,
)

_STREAMS = {"stdout": 1, "stderr": 2}


class RawJsonDisplay:
    """Steps are vertexes; each has a digest that stands for it, as in BuildKit's graph."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._vertexes: dict[int, dict[str, Any]] = {}
        self._parts: dict[tuple[int, str], str] = {}  # when each began

    def take(self, event: object) -> bool:
        match event:
            case StepStarted(number=number, name=name):
                digest = hashlib.sha256(f"{number} {name}".encode()).hexdigest()
                vertex = {"digest": f"sha256:{digest}", "name": name, "started": _now()}
                self._vertexes[number] = vertex
                self._put(vertexes=[vertex])
            case StepStatus():
                self._put(statuses=[self._status(event)])
            case StepOutput(number=number, stream=stream, data=data):
                text = base64.b64encode(data).decode()
                log = {"vertex": self._vertexes[number]["digest"], "stream": _STREAMS[stream]}
                self._put(logs=[{**log, "data": text, "timestamp": _now()}])
            case StepDone():
                self._end(event.number, event.error, cached=event.cached)
            case BuildStarted(warnings=warnings):
                if warnings:
                    self._put(warnings=list(map(self._warning, warnings)))
            case BuildDone() | StepFailed():
                pass
            case _:
                return False
        return True

    def close(self, failed: int = 0, reason: str = "") -> None:
        if failed in self._vertexes:
            self._end(failed, reason)

    def _end(self, number: int, error: str, *, cached: bool = False) -> None:
        vertex = {**self._vertexes[number], "completed": _now()}
        vertex |= {"cached": True} if cached else {}
        vertex |= {"error": error} if error else {}
        self._put(vertexes=[vertex])

    def _status(self, event: StepStatus) -> dict[str, Any]:
        now = _now()
        began = self._parts.setdefault((event.number, event.id), now)
        status = {"id": event.id, "vertex": self._vertexes[event.number]["digest"]}
        status |= {"total": event.total} if event.total else {}
        status |= {"current": event.current, "timestamp": now, "started": began}
        return status | ({"completed": now} if event.done else {})

    def _warning(self, warning: BuildWarning) -> dict[str, Any]:
        """Texts are bytes there, and JSON has those in base64."""
        first = next(iter(self._vertexes.values()), {})
        short = {"vertex": first.get("digest", ""), "level": 1, "short": _bytes(warning.text)}
        if not warning.rule:
            return short
        place = {"start": {"line": warning.line}, "end": {"line": warning.last_line}}
        return {
            **short, "detail": [_bytes(warning.reason)], "url": warning.url, "range": [place],
        }  # fmt: skip

    def _put(self, **status: Any) -> None:
        self._stream.write(json.dumps(status, separators=(",", ":")) + "\n")
        self._stream.flush()


def _bytes(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
