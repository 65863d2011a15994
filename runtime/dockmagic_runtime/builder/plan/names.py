"""The names of steps in a build's progress, as BuildKit makes them: `[base 2/3] RUN make`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dockmagic_runtime.builder.plan.stages import SCRATCH, Stages
from dockmagic_runtime.dockerfile import Stage
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.expand import ExpansionError, expand, expand_for_display
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.reference import ImageReference


class StepNames:
    """The names of one stage's steps, in order. Only FROM an image, RUN, COPY, ADD and WORKDIR
    are steps: other instructions change the config."""

    def __init__(self, stages: Stages, stage: Stage, escape: str) -> None:
        self._escape = escape
        self._stage_name = "" if _is_alone(stages) else stage.name or f"stage-{stage.index}"
        source = stages.base_source(stage)
        begins = source.stage is None and source.image.lower() != SCRATCH
        self._total = begins + sum(
            isinstance(instruction, (i.Run, i.Copy, i.Add, i.Workdir))
            for instruction in (*stages.triggers(stage), *stage.instructions)
        )
        self._count = 0

    def base(self, image: str) -> str:
        return self._next(f"FROM {canonical(image)}")

    def run(self, run: i.Run, variables: Mapping[str, str], *, is_trigger: bool) -> str:
        text = run.text
        if len(run.heredocs) == 1 and run.command.args[0] == run.heredocs[0].mark:
            text += f" ({_summary(run.heredocs[0].data)})"
        shown = expand_for_display(text, variables, self._escape)
        return self._next(_with_upper_keyword(shown), is_trigger=is_trigger)

    def other(
        self, written: i.Instruction, variables: Mapping[str, str], *, is_trigger: bool
    ) -> str:
        """COPY, ADD and WORKDIR: quotes removed, variables replaced."""
        try:
            shown = expand(written.text, variables, self._escape)
        except ExpansionError:
            shown = written.text
        return self._next(_with_upper_keyword(shown), is_trigger=is_trigger)

    def _next(self, text: str, *, is_trigger: bool = False) -> str:
        self._count += 1
        stage = f"{self._stage_name} " if self._stage_name else ""
        width = len(str(self._total))
        trigger = "ONBUILD " if is_trigger else ""
        return f"[{stage}{self._count:{width}}/{self._total}] {trigger}{text}"


def canonical(image: str) -> str:
    """The image's full name: `docker.io/library/busybox:latest`."""
    try:
        return ImageReference.parse(image).canonical
    except InvalidInput:
        return image  # an id


def _is_alone(stages: Stages) -> bool:
    """Whether the file has one stage and names no other source of files."""
    dockerfile = stages.dockerfile
    if len(dockerfile.stages) > 1:
        return False
    return not any(map(_names_a_source, dockerfile.stages[0].instructions))


def _names_a_source(instruction: i.Instruction) -> bool:
    match instruction:
        case i.Copy(from_=name):
            return bool(name) and not name.isdigit()
        case i.Run(mounts=mounts):
            return any(mount.kind == "cache" or mount.options.get("from") for mount in mounts)
    return False


def _with_upper_keyword(text: str) -> str:
    keyword, blank, rest = text.partition(" ")
    return keyword.upper() + blank + rest


def _summary(document: str) -> str:
    first, *others = document.strip().replace("\r\n", "\n").split("\n")
    return first + ("..." if others else "")
