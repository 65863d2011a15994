"""Executes a plan: each step comes from the cache, or is executed and stored there.

A `StageState` holds what a stage has reached: layers, history and cache key. After the first step
of a stage that misses the cache, all later ones are executed: their layers stand on others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field

from dockmagic_runtime.builder.cache.store import BuildCache, base_key, files_key, step_key
from dockmagic_runtime.builder.context.content_hash import Contents
from dockmagic_runtime.builder.execute.cache_miss import CacheMissExplainer
from dockmagic_runtime.builder.execute.copying import Copier
from dockmagic_runtime.builder.execute.parallel import Claims, Stages, Work, side_by_side
from dockmagic_runtime.builder.execute.step_executor import StepExecutor
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import BaseStep, Plan, RunStep, Step, TransferStep
from dockmagic_runtime.builder.results import Result, StepResult
from dockmagic_runtime.builder.run_mounts.prepare import Mounter
from dockmagic_runtime.builder.stage_state import StageState
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.build import (
    BuildEvent,
    StepDone,
    StepFailed,
    StepStarted,
    StepStatus,
)

if TYPE_CHECKING:
    from dockmagic_runtime.builder.cache.importer import ImportedCaches


class BuildRun(Struct):
    """One plan being run. `states` has the result of each stage that was reached."""

    plan: Plan
    cache: BuildCache
    copier: Copier
    mounter: Mounter
    executor: StepExecutor
    reasons: CacheMissExplainer
    claims: Claims
    imported: ImportedCaches | None = None
    states: dict[int, StageState] = field(default_factory=dict)
    done: dict[int, StepResult] = field(default_factory=dict)  # by step
    began: float = field(default_factory=time.time)  # seconds since the epoch

    def run(self) -> Iterator[BuildEvent]:
        """Executes the plan; stages run in parallel as far as they can."""
        yield from self._begin_stages()
        for load in self.plan.loads:
            yield StepStarted(number=load.number, name=load.name, time=time.time())
            cached = load.name.startswith("FROM ")
            yield StepDone(number=load.number, cached=cached, time=time.time())
        stages: dict[int, list[Step]] = {}
        for step in self.plan.steps:
            stages.setdefault(step.stage, []).append(step)
        if len(stages) == 1:
            yield from self._run(self.plan.steps, lambda _: None)
            return
        works: dict[int, Work] = {}
        gate = Stages(stages, self.executor.cancellation)
        for number, steps in stages.items():
            works[number] = partial(self._run, steps, gate.wait_for)
        yield from side_by_side(works, gate, self.executor.cancellation)

    def _begin_stages(self) -> Iterator[BuildEvent]:
        """The stages that begin with an image, or with nothing."""
        for step in self.plan.steps:
            if isinstance(step, BaseStep) and step.from_stage is None:
                self.states[step.stage] = self._begin(step)
                if step.number:
                    yield _started(step)
                    yield StepDone(number=step.number, cached=_was_there(step), time=time.time())

    def _run(self, steps: Sequence[Step], wait_for: Callable[[int], None]) -> Iterator[BuildEvent]:
        for step in steps:
            for stage in step.needs:
                wait_for(stage)
            if isinstance(step, BaseStep):
                if step.from_stage is not None:
                    self.states[step.stage] = self.states[step.from_stage].copy()
            elif step.number:
                yield from self._numbered(step)
            else:
                self.states[step.stage].configure(step)

    def _numbered(self, step: Step) -> Iterator[BuildEvent]:
        yield _started(step)
        try:
            yield (yield from self._advance(step, time.monotonic()))
        except DockmagicError as error:
            error.step = step.number
            error.excerpt = error.excerpt or self.plan.excerpt(step)
            yield StepFailed(
                number=step.number,
                reason=error.message,
                line=step.line,
                last_line=step.last_line,
                left=error.left,
                time=time.time(),
            )
            raise

    @property
    def result(self) -> StageState:
        return self.states[self.plan.target]

    @property
    def results(self) -> tuple[StepResult, ...]:
        """What the steps came to, in the order of the plan."""
        return tuple(self.done[number] for number in sorted(self.done))

    def _begin(self, step: BaseStep) -> StageState:
        epoch = self.executor.epoch
        if step.base is None:
            return StageState(base_key("", epoch))
        document, chain_ids = step.base.config, step.base.chain_ids
        return StageState(
            # the layers alone: a config that differs has no effect on files
            base_key(chain_ids[-1] if chain_ids else "", epoch),
            chain_ids=chain_ids,
            diff_ids=tuple(document.get("rootfs", {}).get("diff_ids") or ()),
            history=tuple(document.get("history") or ()),
            document=document,
            base_id=step.base.image_id,
        )

    def _advance(self, step: Step, began: float) -> Generator[BuildEvent, None, StepDone]:
        state = self.states[step.stage]
        contents = self._contents(step)
        key = step_key(state.key, step.identity, contents.digest)
        self.reasons.note(step, state.key, contents)
        with self.claims.held(key):
            result, reason = self._look_up(step, state, key, contents)
            is_cached = result is not None
            if result is None:
                result, is_cached = yield from self._made(step, state, key, contents)
        self.done[step.number] = StepResult(key, state.top, result)
        state.advance(step, key, result)
        return StepDone(
            number=step.number,
            cached=is_cached,
            seconds=time.monotonic() - began,
            chain_id=result.chain_id,
            size=result.size,
            reason=reason,
            created=result.created,
            files=len(contents.files),
            time=time.time(),
        )

    def _made(
        self, step: Step, state: StageState, key: str, contents: Contents
    ) -> Generator[BuildEvent, None, tuple[Result, bool]]:
        """The result of executing the step, or of another build that was executing it (True)."""
        if step.stage in self.plan.uncached:
            return (yield from self._executed(step, state, key, contents)), False
        claim = self.claims.claim(key)
        if claim is None:
            text = "waiting for another build that executes the same step"
            yield StepStatus(number=step.number, id=text, is_note=True)
        while claim is None:
            self.claims.wait()
            claim = self.claims.claim(key)
        try:
            result, _ = self.cache.find(key, since=self.began)
            if result is not None and state.carries(result):
                return result, True
            return (yield from self._executed(step, state, key, contents)), False
        finally:
            os.close(claim)

    def _executed(
        self, step: Step, state: StageState, key: str, contents: Contents
    ) -> Generator[BuildEvent, None, Result]:
        result = yield from self.executor.execute(step, state, self._layers_of)
        state.missed = state.missed or str(step.number)
        self._keep(step, state, key, result, contents)
        return result

    def _contents(self, step: Step) -> Contents:
        if isinstance(step, TransferStep):
            return self.copier.contents(step, self._layers_of(step.source_stage))
        if isinstance(step, RunStep):
            return self.mounter.contents(step, self._layers_of)
        return Contents()

    def _layers_of(self, source: SourceStage) -> tuple[str, ...]:
        """The layers of a stage or an image, bottom first."""
        return source.layers if source.stage is None else self.states[source.stage].chain_ids

    def _look_up(
        self, step: Step, state: StageState, key: str, contents: Contents
    ) -> tuple[Result | None, str]:
        """The result in the cache, or None and why there is none that can be used."""
        if step.stage in self.plan.uncached:
            return None, "--no-cache"
        if state.missed:
            return None, f"step {state.missed} was built anew"
        result, reason = self.cache.find(key)
        if result is not None and state.carries(result):
            return result, ""
        if result is not None:
            return None, "the layers below it were made anew"
        result, unusable = self.imported.find(key, state) if self.imported else (None, "")
        if result is not None:
            self._keep(step, state, key, result, contents)
            return result, ""
        return None, unusable or reason or self.reasons.why(step, state, contents)

    def _keep(
        self, step: Step, state: StageState, key: str, result: Result, contents: Contents
    ) -> None:
        self.cache.add(key, result)
        if contents.files:
            self.cache.add_files(files_key(state.key, step.identity), contents.files)
        # other builds may wait for it, and what took minutes must not be lost with this process
        self.cache.flush()


def _started(step: Step) -> StepStarted:
    return StepStarted(
        number=step.number,
        name=step.name,
        instruction=step.text,
        line=step.line,
        last_line=step.last_line,
        time=time.time(),
    )


def _was_there(step: BaseStep) -> bool:
    return step.base is None or not step.base.was_pulled
