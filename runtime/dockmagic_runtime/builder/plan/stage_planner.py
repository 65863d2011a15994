"""One stage's instructions → its steps, one after the other. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.builder.plan import checks, history
from dockmagic_runtime.builder.plan import config as c
from dockmagic_runtime.builder.plan.commands import argv_of, history_argv
from dockmagic_runtime.builder.plan.mount_options import step_mount
from dockmagic_runtime.builder.plan.names import StepNames
from dockmagic_runtime.builder.plan.scope import Scope, Variables
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.stages import SCRATCH, Stages, located
from dockmagic_runtime.builder.plan.steps import (
    Base,
    BaseStep,
    ConfigStep,
    RunStep,
    Step,
    StepMount,
    TransferStep,
    WorkdirStep,
)
from dockmagic_runtime.builder.plan.transfers import transfer_fields
from dockmagic_runtime.dockerfile import Problem, Stage
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.expand import expand
from dockmagic_runtime.errors import EngineBug, InvalidInput, Unsupported


class StageResult(Struct, frozen=True):
    """What a stage hands on to those that begin with it."""

    config: c.StageConfig
    scope: Scope
    has_workdir: bool


class StagePlanner:
    """Plans one stage: `steps` once, then `result`, `warnings` and `used_args`."""

    def __init__(self, stages: Stages, stage: Stage, bases: Mapping[str, Base]) -> None:
        self._stages = stages
        self._dockerfile = stages.dockerfile
        self._stage = stage
        self._bases = bases
        self._scope = Scope(stages.request.build_args, stages.outer, self._dockerfile.escape)
        self._names = StepNames(stages, stage, self._dockerfile.escape)
        self._config = c.StageConfig()
        self._has_workdir = False
        self.warnings: list[Problem] = []

    @property
    def used_args(self) -> set[str]:
        return self._scope.used | set(self._scope.proxies())

    @property
    def result(self) -> StageResult:
        return StageResult(self._config, self._scope, self._has_workdir)

    def steps(self, results: Mapping[int, StageResult]) -> list[Step]:
        """`results` are those of the stages before it."""
        begin = self._begin(results)
        # ONBUILD fires once: the image that it fired in does not hand it on
        self._config = self._config.without_triggers().with_path()
        self._scope.set_env(self._config.json.get("Env") or ())
        begin = replace(begin, config=self._config)
        triggers = self._stages.triggers(self._stage)
        fired = [self._step(trigger, is_trigger=True) for trigger in triggers]
        return [begin, *fired, *map(self._step, self._stage.instructions)]

    # --- FROM ------------------------------------------------------------------------------

    def _begin(self, results: Mapping[int, StageResult]) -> Step:
        source = self._stages.base_source(self._stage)
        base = self._stages.bases[self._stage.index]
        if source.stage is not None:
            before = results[source.stage]
            # CMD of an earlier stage counts as inherited
            self._config = replace(before.config, has_cmd=False)
            self._scope, self._has_workdir = before.scope.inherited(), before.has_workdir
            return self._new_step(BaseStep, base, from_stage=source.stage, reference=base.image)
        if source.image.lower() == SCRATCH:
            self._config = c.scratch()
            return self._new_step(BaseStep, base, reference=base.image)
        image = self._base(source.image)
        self.warnings += checks.base_platform(base, image)
        document = image.config
        self._config = c.StageConfig(
            dict(document.get("config") or {}), str(document.get("author") or "")
        )
        name = self._names.base(source.image)
        return self._new_step(BaseStep, base, base=image, reference=base.image, name=name)

    def _base(self, name: str) -> Base:
        if name in self._bases:
            return self._bases[name]
        if self._stages.request.check:
            return Base(image_id="", config={})  # of a stage that only a check looks at
        raise EngineBug(f"the plan was asked for without its base image {name}")

    # --- instructions ----------------------------------------------------------------------

    def _new_step(self, kind: Any, instruction: i.Instruction, **fields: Any) -> Step:
        if "created_by" not in fields:
            fields["created_by"] = history.created_by(instruction, self._config)
        step: Step = kind(
            stage=self._stage.index,
            instruction=instruction,
            config=self._config,
            file_name=self._dockerfile.file_name,
            **fields,
        )
        return step

    def _step(self, written: i.Instruction, *, is_trigger: bool = False) -> Step:
        with located(self._dockerfile, written):
            if isinstance(written, i.Arg):
                return self._declare(written)
            variables = self._scope.variables()
            instruction = self._scope.expanded(written, variables)
            self._check(written, instruction, variables)
            self._config = c.apply(instruction, self._config)
            match instruction:
                case i.Run():
                    return self._run(instruction, variables, is_trigger=is_trigger)
                case i.Copy() | i.Add():
                    name = self._names.other(written, variables, is_trigger=is_trigger)
                    fields = transfer_fields(instruction, self._source(instruction), self._config)
                    return self._new_step(TransferStep, instruction, name=name, **fields)
                case i.Workdir():
                    return self._workdir(written, instruction, variables, is_trigger=is_trigger)
                case i.Env():
                    self._scope.set_env(f"{pair.name}={pair.value}" for pair in instruction.pairs)
        return self._new_step(ConfigStep, instruction)

    def _declare(self, written: i.Arg) -> Step:
        instruction, missing = self._scope.declare(written)
        self.warnings += checks.undefined(written, missing, self._scope.values)
        return self._new_step(ConfigStep, instruction)

    def _check(
        self, written: i.Instruction, instruction: i.Instruction, variables: Variables
    ) -> None:
        missing = self._scope.undefined(variables)
        self.warnings += checks.undefined(written, missing, self._scope.values)
        if isinstance(written, (i.Cmd, i.Entrypoint)) and not self._config.json.get("Shell"):
            self.warnings += checks.shell_form(written)
        if isinstance(instruction, i.Workdir):
            is_set, self._has_workdir = self._has_workdir, True
            self.warnings += checks.relative_workdir(instruction, is_set=is_set)

    def _workdir(
        self,
        written: i.Instruction,
        instruction: i.Instruction,
        variables: Variables,
        *,
        is_trigger: bool,
    ) -> Step:
        path = posixpath.normpath("/" + self._config.working_dir.lstrip("/"))
        # the root is always there: BuildKit counts the step and does nothing
        name = ""
        if self._config.working_dir != "/":
            name = self._names.other(written, variables, is_trigger=is_trigger)
        return self._new_step(
            WorkdirStep, instruction, path=path, user=self._config.user, name=name
        )

    def _source(self, transfer: i.Copy | i.Add) -> SourceStage:
        if isinstance(transfer, i.Copy):
            return self._named_source(transfer.from_, transfer)
        return SourceStage()

    def _named_source(self, name: str, instruction: i.Instruction) -> SourceStage:
        source = self._stages.earlier_source(self._stage, name, instruction)
        if not source.image or source.image.lower() == SCRATCH:
            return source
        return replace(source, layers=self._base(source.image).chain_ids)

    # --- RUN -------------------------------------------------------------------------------

    def _run(self, run: i.Run, variables: Variables, *, is_trigger: bool) -> Step:
        self._refuse_run_flags(run)
        argv, script = argv_of(run, self._config, self._dockerfile.escape)
        shown = history_argv(run, self._config, argv, script)
        return self._new_step(
            RunStep,
            run,
            name=self._names.run(run, variables, is_trigger=is_trigger),
            argv=argv,
            variables=tuple(f"{name}={value}" for name, value in self._scope.values.items()),
            proxies=tuple(f"{name}={value}" for name, value in self._scope.proxies().items()),
            arguments=frozenset(self._scope.declared),
            working_dir=posixpath.normpath("/" + self._config.working_dir.lstrip("/")),
            user=self._config.user,
            network=self._network(run),
            script=script,
            mounts=self._mounts(run, variables),
            privileged=run.security == "insecure",
            add_hosts=self._stages.request.add_hosts,
            created_by=history.run_created_by(shown, self._scope.arguments()),
        )

    def _network(self, run: i.Run) -> str:
        return run.network if run.network in ("none", "host") else self._stages.request.network

    def _mounts(self, run: i.Run, variables: Variables) -> tuple[StepMount, ...]:
        kinds = [mount.kind for mount in run.mounts]
        return tuple(
            step_mount(
                mount,
                self._config,
                lambda text: expand(text, variables, self._dockerfile.escape),
                lambda name: self._named_source(name, run),
                number=kinds[:position].count(mount.kind),
            )
            for position, mount in enumerate(run.mounts)
        )

    def _refuse_run_flags(self, run: i.Run) -> None:
        if run.devices:
            raise self._unsupported(
                run,
                "--device",
                "devices are for containers: docker run --device; RUN --security=insecure sees all",
            )
        allowed = self._stages.request.allow
        if run.security == "insecure" and "security.insecure" not in allowed:
            # no privilege from a Dockerfile's text (CVE-2024-23653)
            raise InvalidInput(
                "security.insecure is not allowed: build with --allow security.insecure"
            )
        is_host = self._stages.request.network == "host" or "network.host" in allowed
        if run.network == "host" and not is_host:
            raise InvalidInput("network.host is not allowed: build with --allow network.host")

    def _unsupported(self, instruction: i.Instruction, what: str, hint: str = "") -> Unsupported:
        place = f"{self._dockerfile.file_name}:{instruction.position.line}"
        error = Unsupported(f"{place}: {instruction.keyword} {what} is not supported", hint=hint)
        error.excerpt = self._dockerfile.listing(instruction.position)
        return error
