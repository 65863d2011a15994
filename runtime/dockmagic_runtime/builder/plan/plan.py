"""Dockerfile, request and base images' configs → the steps to do. Pure: no disk, no clock.

Everything a step depends on is known here: variables have their values, paths are absolute, the
config after each step is computed. What is read and not yet executed is refused here, with its
line, so that nothing is ever silently left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from dockmagic_runtime.builder.plan import config as c
from dockmagic_runtime.builder.plan import stages as s
from dockmagic_runtime.builder.plan.checks import (
    as_warning,
    base_platform,
    from_checks,
    relative_workdir,
    undefined,
)
from dockmagic_runtime.builder.plan.chmod import Mode
from dockmagic_runtime.builder.plan.git_source import GitSource
from dockmagic_runtime.builder.plan.mount_options import step_mount
from dockmagic_runtime.builder.plan.scope import Scope, Variables
from dockmagic_runtime.builder.plan.source_date_epoch import ARGUMENT as EPOCH
from dockmagic_runtime.builder.plan.source_date_epoch import epoch_of
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.stages import Stages, located, needed_images
from dockmagic_runtime.builder.plan.steps import (
    Base,
    BaseStep,
    ConfigStep,
    Plan,
    Remote,
    RunStep,
    Step,
    StepMount,
    TransferStep,
    WorkdirStep,
)
from dockmagic_runtime.dockerfile import Dockerfile, Problem, Stage
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.expand import expand
from dockmagic_runtime.dockerfile.lines import as_heredoc
from dockmagic_runtime.dockerfile.printer import render_instruction
from dockmagic_runtime.errors import EngineBug, InvalidInput, Unsupported
from dockmagic_runtime.model.build import BuildRequest, BuildWarning

__all__ = ["Base", "Plan", "make_plan", "needed_images"]

_CHECKSUM: Final = re.compile(r"sha256:[0-9a-f]{64}")
_BUILDKIT: Final = "BUILDKIT_"  # these arguments are settings of the builder
SCRIPTS: Final = "/.dockmagic-script-"  # where a heredoc with `#!` is put while it runs


def make_plan(dockerfile: Dockerfile, request: BuildRequest, bases: Mapping[str, Base]) -> Plan:
    """The steps of the request's target. `bases` has every image of `needed_images`."""
    return _Planner(Stages.of(dockerfile, request, bases), bases).plan()


class _Planner:
    def __init__(self, stages: Stages, bases: Mapping[str, Base]) -> None:
        self._stages = stages
        self._dockerfile = stages.dockerfile
        self._request = stages.request
        self._bases = bases
        self._steps: list[Step] = []
        self._results: dict[int, c.StageConfig] = {}
        self._warnings: list[Problem] = []
        self._used_args = set(stages.scope.used)

    def plan(self) -> Plan:
        for stage in self._stages.needed():
            self._plan_stage(stage)
        target = self._stages.target().index
        return Plan(
            steps=tuple(self._steps),
            target=target,
            config=self._results[target].with_labels(self._request.labels),
            warnings=self._all_warnings(),
            epoch=epoch_of(self._request.build_args),
            uncached=self._stages.uncached(),
            source=self._dockerfile,
        )

    def _all_warnings(self) -> tuple[BuildWarning, ...]:
        given = {name for name in self._request.build_args if not name.startswith(_BUILDKIT)}
        unused = sorted(given - self._used_args - {EPOCH})
        of_bases = from_checks(self._dockerfile, self._stages.needed(), self._stages.scope)
        later = self._dockerfile.wanted([*of_bases, *self._warnings])
        problems = sorted((*self._dockerfile.warnings, *later), key=lambda problem: problem.line)
        warnings = [as_warning(self._dockerfile, problem) for problem in problems]
        if unused:
            text = f"One or more build-args {unused} were not consumed".replace("'", "")
            warnings.append(BuildWarning(text=text))
        return tuple(warnings)

    def _plan_stage(self, stage: Stage) -> None:
        planner = _StagePlanner(self._stages, stage, self._bases, len(self._steps))
        self._steps += planner.steps(self._results)
        self._results[stage.index] = self._steps[-1].config
        self._warnings += planner.warnings
        self._used_args |= planner.used_args


class _StagePlanner:
    """The steps of one stage, one instruction after the other."""

    def __init__(self, stages: Stages, stage: Stage, bases: Mapping[str, Base], count: int) -> None:
        self._stages = stages
        self._dockerfile = stages.dockerfile
        self._stage = stage
        self._bases = bases
        self._count = count
        self._scope = Scope(
            stages.request.build_args,
            stages.outer,
            s.platform_arguments(stages.request.target),
            self._dockerfile.escape,
        )
        self._config = c.StageConfig()
        self._has_workdir = False
        self.warnings: list[Problem] = []

    @property
    def used_args(self) -> set[str]:
        return self._scope.used | set(self._scope.proxies())

    def steps(self, results: Mapping[int, c.StageConfig]) -> list[Step]:
        steps: list[Step] = [self._base_step(results)]
        self._config = self._config.without_triggers()
        steps[0] = replace(steps[0], config=self._config)
        triggers = self._stages.triggers(self._stage)
        return [*steps, *map(self._step, (*triggers, *self._stage.instructions))]

    def _base_step(self, results: Mapping[int, c.StageConfig]) -> Step:
        source = self._stages.source_stage(self._stage)
        base = self._stages.bases[self._stage.index]
        if source.stage is not None:
            # CMD of an earlier stage counts as inherited
            self._config = replace(results[source.stage], has_cmd=False)
            return self._new_step(BaseStep, base, from_stage=source.stage, reference=base.image)
        if source.image.lower() == s.SCRATCH:
            self._config = c.scratch()
            return self._new_step(BaseStep, base, reference=base.image)
        image = self._base(source.image)
        self.warnings += base_platform(base, image)
        document = image.config
        self._config = c.StageConfig(
            dict(document.get("config") or {}), str(document.get("author") or "")
        )
        return self._new_step(BaseStep, base, base=image, reference=base.image)

    def _base(self, name: str) -> Base:
        try:
            return self._bases[name]
        except KeyError:
            raise EngineBug(f"the plan was asked for without its base image {name}") from None

    def _new_step(self, kind: Any, instruction: i.Instruction, **fields: Any) -> Step:
        self._count += 1
        fields.setdefault("created_by", _one_line(instruction))
        step: Step = kind(
            number=self._count,
            stage=self._stage.index,
            instruction=instruction,
            config=self._config,
            file_name=self._dockerfile.file_name,
            **fields,
        )
        return step

    def _step(self, written: i.Instruction) -> Step:
        with located(self._dockerfile, written):
            if isinstance(written, i.Arg):
                return self._new_step(ConfigStep, self._scope.declare(written, self._config.env))
            variables = self._scope.variables(self._config.env)
            instruction = self._scope.expanded(written, variables)
            self.warnings += undefined(written, variables.missing)
            before = self._config
            self._config = c.apply(instruction, before)
            match instruction:
                case i.Run():
                    return self._run(instruction, variables)
                case i.Copy() | i.Add():
                    return self._transfer(instruction)
                case i.Workdir():
                    self.warnings += relative_workdir(
                        instruction, instruction.path, is_set=self._has_workdir
                    )
                    self._has_workdir = True
                    path = self._config.working_dir
                    return self._new_step(WorkdirStep, instruction, path=path)
        return self._new_step(ConfigStep, instruction)

    def _unsupported(self, instruction: i.Instruction, what: str, hint: str = "") -> Unsupported:
        place = f"{self._dockerfile.file_name}:{instruction.position.line}"
        error = Unsupported(f"{place}: {instruction.keyword} {what} is not supported", hint=hint)
        error.excerpt = self._dockerfile.excerpt(instruction.position)
        return error

    def _run(self, run: i.Run, variables: Variables) -> Step:
        self._refuse_run_flags(run)
        argv, script = self._argv(run)
        arguments = {
            name: value
            for name, value in self._scope.arguments().items()
            if name not in self._config.env
        }
        shown = tuple(f"{name}={value}" for name, value in sorted(arguments.items()))
        count = f"|{len(shown)} {' '.join(shown)} " if shown else ""
        env = {**self._scope.proxies(), **arguments, **self._config.env}
        env.setdefault("PATH", c.DEFAULT_PATH)
        return self._new_step(
            RunStep,
            run,
            argv=argv,
            env=tuple(f"{name}={value}" for name, value in env.items()),
            arguments=shown,
            working_dir=self._config.working_dir,
            user=self._config.user,
            network=self._network(run),
            script=script,
            mounts=self._mounts(run, variables),
            privileged=run.security == "insecure",
            add_hosts=self._stages.request.add_hosts,
            created_by=f"RUN {count}{' '.join(argv)}",
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
                lambda name: self._named_origin(name, run),
                number=kinds[:position].count(mount.kind),
            )
            for position, mount in enumerate(run.mounts)
        )

    def _named_origin(self, name: str, instruction: i.Instruction) -> SourceStage:
        source_stage = self._stages.named_source(self._stage, name, instruction.position)
        if not source_stage.image or source_stage.image.lower() == s.SCRATCH:
            return source_stage
        return replace(source_stage, layers=self._base(source_stage.image).chain_ids)

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

    def _argv(self, run: i.Run) -> tuple[tuple[str, ...], tuple[str, str] | None]:
        """The command with its heredocs: run as a script, given to the shell, or left to it."""
        if not run.command.is_shell or not run.heredocs:
            return c.command_line(run.command, self._config), None
        (text,) = run.command.args
        if as_heredoc(text, self._dockerfile.escape) is None:
            bodies = (f"\n{heredoc.content}{heredoc.name}" for heredoc in run.heredocs)
            return (*self._config.shell, text + "".join(bodies)), None
        only = run.heredocs[0]
        if only.data.startswith("#!"):
            path = SCRIPTS + re.sub(r"[^\w.-]", "-", only.name[:64])
            return (path,), (path, only.data)
        return (*self._config.shell, only.data), None

    def _transfer(self, transfer: i.Copy | i.Add) -> Step:
        self._refuse_transfer_flags(transfer)
        marks = [transfer.heredoc(source) for source in transfer.sources]
        documents = tuple((heredoc.name, heredoc.data) for heredoc in marks if heredoc is not None)
        sources = tuple(
            source for source, mark in zip(transfer.sources, marks, strict=True) if mark is None
        )
        addresses = [source for source in sources if is_remote(transfer, source)]
        remotes = tuple(_remote(transfer, address) for address in addresses)
        sources = tuple(source for source in sources if source not in addresses)
        into = transfer.destination.endswith(("/", "/.")) or transfer.destination in ("", ".")
        if len(transfer.sources) > 1 and not into:
            raise InvalidInput(
                f"When using {transfer.keyword} with more than one source file, the destination "
                "must be a directory and end with a /"
            )
        return self._new_step(
            TransferStep,
            transfer,
            sources=sources,
            destination=self._config.path(transfer.destination),
            into=into,
            documents=documents,
            remotes=remotes,
            source_stage=self._source_stage(transfer),
            chown=transfer.chown,
            mode=Mode.parse(transfer.chmod) if transfer.chmod else None,
            excludes=transfer.excludes,
            unpacks=transfer.unpack if isinstance(transfer, i.Add) else False,
            link=transfer.link,
            parents=isinstance(transfer, i.Copy) and transfer.parents,
        )

    def _source_stage(self, transfer: i.Copy | i.Add) -> SourceStage:
        return (
            self._named_origin(transfer.from_, transfer)
            if isinstance(transfer, i.Copy)
            else SourceStage()
        )

    def _refuse_transfer_flags(self, transfer: i.Copy | i.Add) -> None:
        if not isinstance(transfer, i.Add) or not (transfer.checksum or transfer.keep_git_dir):
            return
        flag = "--checksum" if transfer.checksum else "--keep-git-dir"
        if not any(is_remote(transfer, source) for source in transfer.sources):
            raise InvalidInput(f"ADD {flag} is only for remote sources")
        if transfer.checksum and len(transfer.sources) > 1:
            raise InvalidInput("checksum can't be specified for multiple sources")


def is_remote(transfer: i.Copy | i.Add, source: str) -> bool:
    """COPY knows no addresses: to it, they are names of files."""
    if not isinstance(transfer, i.Add):
        return False
    return source.startswith(("http://", "https://")) or GitSource.parse(source) is not None


def _remote(add: i.Copy | i.Add, source: str) -> Remote:
    assert isinstance(add, i.Add)
    is_git = GitSource.parse(source) is not None
    if add.checksum and not is_git and not _CHECKSUM.fullmatch(add.checksum):
        raise InvalidInput(f"invalid checksum digest format: {add.checksum}")
    return Remote(
        url=source,
        name="" if is_git else name_of(source),
        checksum=add.checksum,
        keep_git_dir=add.keep_git_dir,
    )


def _one_line(instruction: i.Instruction) -> str:
    """What the history shows: the instruction with its values, without heredocs' contents."""
    return render_instruction(replace(instruction, heredocs=()))


def name_of(url: str) -> str:
    """The file name in the path of `url`, "" if there is none."""
    from urllib.parse import unquote, urlsplit

    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise InvalidInput(f'parse "{url}": {error}') from None
    return posixpath.basename(unquote(path).rstrip("/"))
