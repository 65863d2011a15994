"""Running a plan: each step from the cache if that knows it, else done and put there.

A stage's `Tip` is what it has come to: layers, history, the key of all of it. Once a step of a
stage had to be done, the ones after it are done as well: their layers would stand on others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from dockmagic_runtime.builder.cache import (
    BuildCache,
    Result,
    base_key,
    files_key,
    step_key,
    what_changed,
)
from dockmagic_runtime.builder.copying import Contents, Copier
from dockmagic_runtime.builder.document import history_entry, timestamp
from dockmagic_runtime.builder.ports import Layers, StepProcess, StepRunner
from dockmagic_runtime.builder.scratch import OverlayDirectories, Scratch
from dockmagic_runtime.builder.sources import Sources
from dockmagic_runtime.builder.steps import (
    BaseStep,
    Plan,
    RunStep,
    Step,
    TransferStep,
    WorkdirStep,
)
from dockmagic_runtime.errors import EngineBug, InvalidInput, ProcessFailed, StartFailed
from dockmagic_runtime.images.document import chain_id
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.events import BuildEvent, StepDone, StepOutput, StepStarted


@dataclass(slots=True)
class Tip:
    """Where a stage stands. Layers and diff ids bottom first."""

    key: str
    chain_ids: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    created: str = ""
    document: dict[str, Any] | None = None  # the base image's
    base_id: str = ""
    steps: int = 0
    missed: int = 0  # number of the first step that had to be done, if any had

    def copy(self) -> Tip:
        """For a stage that begins here; what is done anew below it is done anew in it."""
        return Tip(
            key=self.key,
            chain_ids=self.chain_ids,
            diff_ids=self.diff_ids,
            history=self.history,
            created=self.created,
            document=self.document,
            base_id=self.base_id,
            steps=self.steps,
            missed=self.missed,
        )

    def advance(self, step: Step, key: str, result: Result) -> None:
        self.key = key
        self.steps += 1
        self.created = result.created
        is_empty = not result.chain_id
        entry = history_entry(result.created, step.created_by, is_empty=is_empty)
        self.history = (*self.history, entry)
        if not is_empty:
            self.chain_ids = (*self.chain_ids, result.chain_id)
            self.diff_ids = (*self.diff_ids, result.diff_id)

    def carries(self, result: Result) -> bool:
        """Whether the result's layer was made on top of just these layers."""
        return not result.chain_id or result.chain_id == self.chain_id_with(result.diff_id)

    def chain_id_with(self, diff_id: str) -> str:
        return chain_id(self.chain_ids[-1] if self.chain_ids else "", diff_id)


@dataclass(slots=True)
class Execution:
    """One plan being run. `tips` has the result of each stage that was reached."""

    plan: Plan
    use_cache: bool
    layers: Layers
    runner: StepRunner
    cache: BuildCache
    sources: Sources
    scratch: Scratch
    copier: Copier
    tips: dict[int, Tip] = field(default_factory=dict)

    def run(self) -> Iterator[BuildEvent]:
        for step in self.plan.steps:
            yield StepStarted(number=step.number, instruction=step.text, line=step.line)
            began = time.monotonic()
            if isinstance(step, BaseStep):
                self.tips[step.stage] = self._begin(step)
                done = StepDone(
                    number=step.number, cached=_was_there(step), seconds=time.monotonic() - began
                )
            else:
                done = yield from self._advance(step, began)
            yield done

    @property
    def result(self) -> Tip:
        return self.tips[self.plan.target]

    def _begin(self, step: BaseStep) -> Tip:
        if step.from_stage is not None:
            return self.tips[step.from_stage].copy()
        if step.base is None:
            return Tip(base_key("scratch"))
        document = step.base.config
        return Tip(
            base_key(step.base.image_id),
            chain_ids=step.base.chain_ids,
            diff_ids=tuple(document.get("rootfs", {}).get("diff_ids") or ()),
            history=tuple(document.get("history") or ()),
            created=str(document.get("created") or ""),
            document=document,
            base_id=step.base.image_id,
        )

    def _advance(self, step: Step, began: float) -> Generator[BuildEvent, None, StepDone]:
        tip = self.tips[step.stage]
        contents = self._contents(step)
        key = step_key(tip.key, step.identity, contents.digest)
        result, reason = self._look_up(step, tip, key, contents)
        is_cached = result is not None
        if result is None:
            result = yield from self._do(step, tip)
            tip.missed = tip.missed or step.number
            self._keep(step, tip, key, result, contents)
        tip.advance(step, key, result)
        return StepDone(
            number=step.number,
            cached=is_cached,
            seconds=time.monotonic() - began,
            chain_id=result.chain_id,
            size=result.size,
            reason=reason,
        )

    def _contents(self, step: Step) -> Contents:
        if not isinstance(step, TransferStep):
            return Contents("")
        return self.copier.contents(step, self._origin(step))

    def _origin(self, step: TransferStep) -> tuple[str, ...]:
        """The layers that a COPY --from copies from."""
        if step.from_stage is not None:
            return self.tips[step.from_stage].chain_ids
        return step.image_layers

    def _look_up(
        self, step: Step, tip: Tip, key: str, contents: Contents
    ) -> tuple[Result | None, str]:
        """The result in the cache, or None and why there is none that can be used."""
        if not self.use_cache:
            return None, "--no-cache"
        if tip.missed:
            return None, f"step {tip.missed} was built anew"
        result, reason = self.cache.find(key)
        if result is not None and tip.carries(result):
            return result, ""
        if result is not None:
            return None, "the layers below it were made anew"
        return None, reason or self._why_new(step, tip, contents)

    def _why_new(self, step: Step, tip: Tip, contents: Contents) -> str:
        if isinstance(step, TransferStep) and contents.files:
            known = self.cache.facts(files_key(tip.key, step.identity))
            if known is not None:
                return what_changed(known["files"], contents.files)
        return "not built before"

    def _keep(self, step: Step, tip: Tip, key: str, result: Result, contents: Contents) -> None:
        self.cache.add(key, result)
        if contents.files:
            self.cache.add_files(files_key(tip.key, step.identity), contents.files)
        if result.chain_id:
            self.cache.flush()  # a layer that took minutes must not be lost with this process

    def _do(self, step: Step, tip: Tip) -> Generator[BuildEvent, None, Result]:
        match step:
            case RunStep():
                return (yield from self._run(step, tip))
            case TransferStep():
                return self._copy(step, tip)
            case WorkdirStep():
                return self._make_workdir(step, tip)
        return Result(created=timestamp(time.time_ns()))

    def _top(self, tip: Tip) -> str:
        return self.layers.path(tip.chain_ids[-1]) if tip.chain_ids else ""

    def _adopt(self, directories: OverlayDirectories, tip: Tip) -> Result:
        record = self.layers.adopt(directories.upper, tip.chain_ids[-1] if tip.chain_ids else "")
        if record.chain_id != tip.chain_id_with(record.diff_id):
            raise EngineBug(f"the layer store gave a layer the chain id {record.chain_id}")
        return Result(
            created=timestamp(time.time_ns()),
            chain_id=record.chain_id,
            diff_id=record.diff_id,
            size=record.size,
        )

    def _copy(self, step: TransferStep, tip: Tip) -> Result:
        with self.scratch.overlay(self._top(tip)) as directories:
            self.copier.copy(step, self._origin(step), tip.chain_ids, directories)
            return self._adopt(directories, tip)

    def _make_workdir(self, step: WorkdirStep, tip: Tip) -> Result:
        """A directory that is there already makes no layer."""
        with self.scratch.overlay(self._top(tip)) as directories:
            with self.sources.writable(tip.chain_ids, directories) as root:
                if root.exists(step.path):
                    return Result(created=timestamp(time.time_ns()))
                try:
                    os.close(root.mkdirs(step.path))
                except NotADirectoryError:
                    raise InvalidInput(
                        f"{step.place}: WORKDIR {step.path} leads through a file"
                    ) from None
            return self._adopt(directories, tip)

    def _run(self, step: RunStep, tip: Tip) -> Generator[BuildEvent, None, Result]:
        if not tip.chain_ids:
            raise InvalidInput(
                f"{step.place}: RUN has nothing to run in: FROM scratch is empty",
                hint="COPY or ADD a root file system first",
            )
        with self.scratch.overlay(self._top(tip)) as directories:
            _put_script(step, directories.upper)
            code = yield from self._run_process(step, tip, directories)
            if code != 0:
                raise ProcessFailed(
                    f"{step.place}: process {_quoted(step.command)} "
                    f"did not complete successfully: exit code: {code}",
                    exit_code=code,
                )
            _remove_script(step, directories.upper)
            return self._adopt(directories, tip)

    def _run_process(
        self, step: RunStep, tip: Tip, directories: OverlayDirectories
    ) -> Generator[BuildEvent, None, int]:
        output = self.runner.run(
            StepProcess(
                argv=step.argv,
                env=step.env,
                working_dir=step.working_dir,
                user=step.user,
                layers=tip.chain_ids[::-1],
                upper=directories.upper,
                work=directories.work,
                network=step.network,
            )
        )
        try:
            while True:
                try:
                    stream, data = next(output)
                except StopIteration as stop:
                    return int(stop.value)
                yield StepOutput(number=step.number, stream=stream, data=data)
        except StartFailed as error:
            raise StartFailed(
                f"{step.place}: {error.message}", exit_code=error.exit_code, hint=error.hint
            ) from None
        finally:
            output.close()


def _was_there(step: BaseStep) -> bool:
    return step.base is None or not step.base.was_pulled


def _quoted(command: str) -> str:
    """As Go's %q writes it: one line whatever the command contains."""
    import json

    return json.dumps(command, ensure_ascii=False)


def _put_script(step: RunStep, upper: str) -> None:
    """A heredoc with `#!` lies in the tree while it runs, under a name that is ours alone."""
    if step.script is not None:
        name, text = step.script
        with Root.at(upper) as root:
            root.write(name, text.encode("utf-8", "surrogateescape"), mode=0o755)


def _remove_script(step: RunStep, upper: str) -> None:
    if step.script is not None:
        with Root.at(upper) as root:
            try:
                root.unlink(step.script[0])
            except FileNotFoundError:
                pass  # the script removed itself
