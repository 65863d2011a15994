"""`CacheMissExplainer`: names what differs from the last build where a step misses the cache.

A series is one Dockerfile with one context, target and name. Of its last build that had something
to do, digests of all that went into each step's key are kept, part by part, so that the next one
can name the part. Values are digested, since build arguments may hold secrets.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any, Final

from dockmagic_runtime.builder.cache.store import BuildCache, files_key, series_key, what_changed
from dockmagic_runtime.builder.context.content_hash import Contents
from dockmagic_runtime.builder.plan.steps import (
    BaseStep,
    Plan,
    RunStep,
    Step,
    TransferStep,
    WorkdirStep,
)
from dockmagic_runtime.builder.stage_state import StageState
from dockmagic_runtime.dockerfile.instructions import Run
from dockmagic_runtime.model.build import BuildRequest

_SHOWN: Final = 3
_DIGITS: Final = 16
_BELOW: Final = "below"
_UNKNOWN: Final = "not built before"
Parts = dict[str, str]


def series_of(request: BuildRequest) -> str:
    """The key of the series that a request belongs to."""
    tag = request.tags[0] if request.tags else ""
    return series_key(request.context or "", request.file_name, request.target, tag)


class CacheMissExplainer:
    """Of one build. Stages may ask side by side."""

    def __init__(self, cache: BuildCache, plan: Plan, series: str) -> None:
        self._cache = cache
        self._plan = plan
        self._series = series
        self._lock = threading.Lock()
        self._noted: dict[int, tuple[str, Contents]] = {}
        self._before: dict[str, Any] | None = None

    def note(self, step: Step, below: str, contents: Contents) -> None:
        """What goes into the key of a step that is being looked up."""
        with self._lock:
            self._noted[step.number] = (below, contents)

    def why(self, step: Step, state: StageState, contents: Contents) -> str:
        """The reason for a step that has no result, in a few words."""
        if contents.files:
            known = self._cache.facts(files_key(state.key, step.identity))
            if known is not None and known["files"] != contents.files:
                return what_changed(known["files"], contents.files)
        before = self._step_before(step)
        if before is None:
            return _UNKNOWN
        keyword, parts = before
        if keyword != step.instruction.keyword:
            return f"a new instruction: the last build had {keyword} here"
        return _difference(parts, _parts(step, state.key, contents), step)

    def save(self) -> None:
        """Keep this build's parts for the next one to be compared with."""
        stages: dict[str, list[tuple[str, Parts]]] = {}
        for step in self._compared():
            below, contents = self._noted.get(step.number, ("", Contents()))
            entry = (step.instruction.keyword, _parts(step, below, contents))
            stages.setdefault(str(step.stage), []).append(entry)
        self._cache.add_facts(self._series, {"stages": stages})

    def _step_before(self, step: Step) -> tuple[str, Parts] | None:
        with self._lock:
            if self._before is None:
                self._before = (self._cache.facts(self._series) or {}).get("stages", {})
            stage = self._before.get(str(step.stage), [])
        own = [other.number for other in self._compared() if other.stage == step.stage]
        place = own.index(step.number)
        return (stage[place][0], stage[place][1]) if place < len(stage) else None

    def _compared(self) -> Iterator[Step]:
        """The steps that the cache is asked for."""
        return (step for step in self._plan.steps if step.number and not isinstance(step, BaseStep))


def _difference(before: Parts, now: Parts, step: Step) -> str:
    changed = [name for name in now if now[name] != before.get(name)]
    changed += [name for name in before if name not in now]
    own = [name for name in changed if name != _BELOW]
    if own:
        more = f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
        return f"changed: {', '.join(own[:_SHOWN])}{more}"
    if changed:
        return "what the stage begins with is another one than before"
    return "its result was removed since"


def _parts(step: Step, below: str, contents: Contents) -> Parts:
    """All that the step's key is made of, under the names that people have for it."""
    parts = {name: _short(value) for name, value in _named(step)}
    if contents.digest:
        parts["the contents"] = contents.digest[:_DIGITS]
    parts[_BELOW] = below[:_DIGITS]
    return parts


def _named(step: Step) -> Iterator[tuple[str, object]]:
    match step:
        case RunStep():
            yield from _of_run(step)
        case TransferStep():
            yield from _of_transfer(step)
        case WorkdirStep():
            yield "the path", step.path
            yield "the user", step.user


def _of_run(step: RunStep) -> Iterator[tuple[str, object]]:
    given = step.instruction
    yield "the command", (step.argv, step.script)
    for entry in step.variables:
        name = entry.partition("=")[0]
        kind = "argument" if name in step.arguments else "variable"
        yield f"the {kind} {name}", entry
    yield "the working directory", step.working_dir
    yield "the user", step.user
    yield "--network", given.network if isinstance(given, Run) else ""
    yield "--security", step.privileged
    yield "--mount", [mount.identity for mount in step.mounts]
    yield "--add-host", step.add_hosts


def _of_transfer(step: TransferStep) -> Iterator[tuple[str, object]]:
    yield "the sources", (step.sources, [remote.url for remote in step.remotes])
    yield "the destination", (step.destination, step.into)
    yield "the text", step.documents
    yield "--chown", step.chown
    yield "--chmod", step.mode.text if step.mode else ""
    yield "--exclude", step.excludes
    yield "other flags", (step.unpacks, step.link, step.parents)
    yield "--checksum", [(remote.checksum, remote.keep_git_dir) for remote in step.remotes]


def _short(value: object) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
