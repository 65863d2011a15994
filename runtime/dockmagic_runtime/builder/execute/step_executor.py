"""Doing a step that the cache does not know: a layer is made, on top of those of its stage."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.builder.cache.store import BuildCache
from dockmagic_runtime.builder.context.scratch import OverlayDirectories, Scratch
from dockmagic_runtime.builder.context.sources import Sources
from dockmagic_runtime.builder.execute.copying import Copier
from dockmagic_runtime.builder.execute.parallel import Cancellation
from dockmagic_runtime.builder.image_config import image_document, timestamp
from dockmagic_runtime.builder.interfaces import Layers, StepProcess, StepRunner
from dockmagic_runtime.builder.plan.source_date_epoch import clamp
from dockmagic_runtime.builder.plan.steps import RunStep, Step, TransferStep, WorkdirStep
from dockmagic_runtime.builder.results import Result
from dockmagic_runtime.builder.run_mounts.prepare import LayersOf, Mounted, Mounter
from dockmagic_runtime.builder.stage_state import StageState
from dockmagic_runtime.errors import EngineBug, InvalidInput, ProcessFailed, StartFailed
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.build import BuildEvent, BuildRequest, StepOutput
from dockmagic_runtime.sandbox.users import resolve

_MEANINGS: Final = {
    126: "a file that the command names cannot be executed",
    127: "a program that the command names is not in the image",
    137: "it was killed, by SIGKILL or for want of memory",
}


class StepExecutor(Struct):
    """The hands of one build."""

    request: BuildRequest
    layers: Layers
    runner: StepRunner
    sources: Sources
    scratch: Scratch
    copier: Copier
    mounter: Mounter
    cache: BuildCache
    epoch: int | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)

    def execute(
        self, step: Step, state: StageState, layers_of: LayersOf
    ) -> Generator[BuildEvent, None, Result]:
        """Do it; yields its output, returns what it came to."""
        match step:
            case RunStep():
                return (yield from self._run(step, state, layers_of))
            case TransferStep():
                return self._copy(step, state, layers_of(step.source_stage))
            case WorkdirStep():
                return self._make_workdir(step, state)
        return Result(created=self._now())

    def _now(self) -> str:
        return timestamp(time.time_ns() if self.epoch is None else self.epoch * 1_000_000_000)

    def _top(self, state: StageState) -> str:
        return self.layers.path(state.top) if state.top else ""

    def _adopt(self, directories: OverlayDirectories, state: StageState) -> Result:
        if self.epoch is not None:
            clamp(directories.upper, self.epoch)
        record = self.layers.adopt(
            directories.upper, state.chain_ids[-1] if state.chain_ids else ""
        )
        if record.chain_id != state.chain_id_with(record.diff_id):
            raise EngineBug(f"the layer store gave a layer the chain id {record.chain_id}")
        return Result(
            created=self._now(),
            chain_id=record.chain_id,
            diff_id=record.diff_id,
            size=record.size,
        )

    def _copy(self, step: TransferStep, state: StageState, source_stage: tuple[str, ...]) -> Result:
        with self.scratch.overlay(self._top(state)) as directories:
            self.copier.copy(step, source_stage, state.chain_ids, directories)
            return self._adopt(directories, state)

    def _make_workdir(self, step: WorkdirStep, state: StageState) -> Result:
        """A directory that is there already makes no layer."""
        with self.scratch.overlay(self._top(state)) as directories:
            with self.sources.writable(state.chain_ids, directories) as root:
                if root.exists(f"{step.path}/."):
                    return Result(created=self._now())
                identity = resolve(root, step.user)
                try:
                    os.close(root.mkdirs(step.path, 0o755, identity.uid, identity.gid))
                except (NotADirectoryError, FileExistsError):
                    raise InvalidInput(
                        f"{step.place}: WORKDIR {step.path}: not a directory"
                    ) from None
            return self._adopt(directories, state)

    def _run(
        self, step: RunStep, state: StageState, layers_of: LayersOf
    ) -> Generator[BuildEvent, None, Result]:
        if not state.chain_ids:
            raise InvalidInput(
                f"{step.place}: RUN has nothing to run in: FROM scratch is empty",
                hint="COPY or ADD a root file system first",
            )
        with self.scratch.overlay(self._top(state)) as directories:
            with self.mounter.prepared(
                step, state.chain_ids, directories, layers_of, self.cancellation.wait
            ) as mounted:
                _put_script(step, directories.upper)
                code = yield from self._run_process(step, state, directories, mounted)
                _remove_script(step, directories.upper)
            self.cancellation.check()
            if code != 0:
                error = ProcessFailed(
                    f"{step.place}: process {_quoted(step.command)} "
                    f"did not complete successfully: exit code: {code}",
                    exit_code=code,
                    hint=_MEANINGS.get(code, ""),
                )
                error.left = self._keep_failed(step, state, directories)
                raise error
            return self._adopt(directories, state)

    def _keep_failed(
        self, step: RunStep, state: StageState, directories: OverlayDirectories
    ) -> str:
        """Keeps the files as they were, with a shell in the place of the command; their name."""
        result = self._adopt(directories, state)
        config = step.config.with_values(
            Env=list(step.env), Cmd=list(step.config.shell[:1]), Entrypoint=None
        )
        after = replace(state)
        after.advance(step, "", result)
        document = image_document(
            after.document, config, after.timed_history, after.diff_ids, result.created
        )
        return self.cache.add_failed(result.chain_id, document, after.chain_ids)

    def _process(
        self, step: RunStep, state: StageState, directories: OverlayDirectories, mounted: Mounted
    ) -> StepProcess:
        request = self.request
        env = dict(entry.partition("=")[::2] for entry in (*step.env, *mounted.env))
        return StepProcess(
            argv=step.argv,
            env=tuple(f"{name}={value}" for name, value in env.items()),
            working_dir=step.working_dir,
            user=step.user,
            layers=state.chain_ids[::-1],
            upper=directories.upper,
            work=directories.work,
            network=step.network,
            mounts=tuple(mounted.operations),
            privileged=step.privileged,
            add_hosts=step.add_hosts,
            shm_size=request.shm_size,
            resources=request.resources,
            ulimits=request.ulimits,
            cgroup_parent=request.cgroup_parent,
            on_cancel=self.cancellation.calling,
        )

    def _run_process(
        self, step: RunStep, state: StageState, directories: OverlayDirectories, mounted: Mounted
    ) -> Generator[BuildEvent, None, int]:
        output = self.runner.run(self._process(step, state, directories, mounted))
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


def _quoted(command: str) -> str:
    """As Go's %q writes it: one line whatever the command contains."""
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
