"""Which stages a build needs, and what their FROM and COPY --from lines refer to. Pure."""

from __future__ import annotations

import platform as _platform
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.builder.plan.scope import Scope
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import Base
from dockmagic_runtime.dockerfile import Dockerfile, DockerfileError, Stage, parse_trigger
from dockmagic_runtime.dockerfile import instructions as i
from dockmagic_runtime.dockerfile.errors import near
from dockmagic_runtime.dockerfile.expand import expand
from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.model.reference import ImageReference

SCRATCH: Final = "scratch"
_IMAGE_CONTEXT: Final = "docker-image://"
_IMAGE_ID: Final = re.compile(r"(sha256:)?[a-f0-9]{64}")
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def host_platform() -> str:
    machine = _platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def outer_scope(dockerfile: Dockerfile, build_args: Mapping[str, str], target: str = "") -> Scope:
    """The ARGs before the first FROM."""
    scope = Scope(build_args, {}, dockerfile.escape, values=platform_arguments(target))
    for arg in dockerfile.arguments:
        with located(dockerfile, arg):
            scope.declare(arg)
    return scope


def platform_arguments(target: str = "") -> dict[str, str]:
    """The ARGs that are there without being given: TARGETPLATFORM and its kin."""
    system, architecture = host_platform().split("/")
    values = {
        "PLATFORM": host_platform(),
        "OS": system,
        "OSVERSION": "",
        "ARCH": architecture,
        "VARIANT": "",
    }
    given = {f"{side}{name}": v for side in ("TARGET", "BUILD") for name, v in values.items()}
    return {**given, "TARGETSTAGE": target or "default"}


class Stages(Struct):
    """The stages of a Dockerfile with their FROM lines expanded.

    `images` are the base images as far as they are known: their configs hold ONBUILD triggers,
    which may name further stages and images.
    """

    dockerfile: Dockerfile
    request: BuildRequest
    scope: Scope
    bases: list[i.From]
    images: Mapping[str, Base]

    @classmethod
    def of(
        cls, dockerfile: Dockerfile, request: BuildRequest, images: Mapping[str, Base]
    ) -> Stages:
        target = request.target or dockerfile.stages[-1].name
        scope = outer_scope(dockerfile, request.build_args, target)
        bases = [_expanded_base(dockerfile, stage, scope) for stage in dockerfile.stages]
        return cls(dockerfile, request, scope, bases, images)

    @property
    def outer(self) -> dict[str, str]:
        """The values of the ARGs before the first FROM, and of those that are always there."""
        return self.scope.values

    def triggers(self, stage: Stage) -> tuple[i.Instruction, ...]:
        """What the ONBUILDs of the stage's base do in it, placed at its FROM."""
        source, position = self.base_source(stage), stage.base.position
        if source.stage is not None:
            before = self.dockerfile.stages[source.stage].instructions
            triggers = [trigger for trigger in before if isinstance(trigger, i.Onbuild)]
            expressions = [trigger.expression for trigger in triggers]
        else:
            image = self.images.get(source.image)
            config = (image.config.get("config") or {}) if image else {}
            expressions = list(config.get("OnBuild") or ())
        return tuple(parse_trigger(expression, position) for expression in expressions)

    def base_source(self, stage: Stage) -> SourceStage:
        """What FROM names: an earlier stage goes before an image of the same name."""
        image = self.bases[stage.index].image
        given = self._given(image)
        if given is not None:
            if given.is_context:
                raise Unsupported(
                    f"the build context {image} is a directory, and a stage cannot begin with one",
                    hint=f"FROM scratch and COPY --from={image} / / does the same",
                )
            return given
        named = self._by_name(image, before=stage.index)
        return SourceStage(image=image) if named is None else SourceStage(stage=named)

    def named_source(self, stage: Stage, name: str, position: i.Position) -> SourceStage:
        """What `--from=` names in a COPY or a mount; "" is the build context."""
        if not name:
            return SourceStage()
        if "$" in name:
            reason = "variable expansion is not supported for --from, define a new stage instead"
            raise self.dockerfile.error(position, reason)
        given = self._given(name)
        if given is not None:
            return given
        named = self._by_name(name, before=len(self.dockerfile.stages))
        if named is not None:
            return SourceStage(stage=named)
        if name.isascii() and name.isdigit():
            return SourceStage(stage=self._by_number(name, position))
        return SourceStage(image=name)

    def earlier_source(self, stage: Stage, name: str, instruction: i.Instruction) -> SourceStage:
        """The same, and a stage must stand before the one that takes files from it."""
        source = self.named_source(stage, name, instruction.position)
        if source.stage is None or source.stage < stage.index:
            return source
        here = stage.name or f"stage-{stage.index}"
        reason = (
            f'cannot copy from stage "{name}", it needs to be defined before current stage "{here}"'
            if isinstance(instruction, i.Copy)
            else f'cannot mount from stage "{name}", '
            "stage needs to be defined before current command"
        )
        raise self.dockerfile.error(instruction.position, reason)

    def _given(self, name: str) -> SourceStage | None:
        """What `--build-context NAME=…` puts in the place of a stage or an image."""
        contexts = self.request.build_contexts
        given = name if name in contexts else name.lower() if name.lower() in contexts else ""
        if not given:
            return None
        image = contexts[given].removeprefix(_IMAGE_CONTEXT)
        return SourceStage(context=given) if image == contexts[given] else SourceStage(image=image)

    def _by_name(self, name: str, *, before: int) -> int | None:
        wanted = name.lower()
        names = [stage.name for stage in self.dockerfile.stages[:before]]
        for index in range(before - 1, -1, -1):
            if names[index] == wanted:
                return index
        return None

    def _by_number(self, name: str, position: i.Position) -> int:
        count = len(self.dockerfile.stages)
        if len(name) > 8 or int(name) >= count:
            reason = f"invalid stage index {name}: the file has {count}, counted from 0"
            raise self.dockerfile.error(position, reason)
        return int(name)

    def target(self) -> Stage:
        if not self.request.target:
            return self.dockerfile.stages[-1]
        return self._asked_for(self.request.target, "target")

    def uncached(self) -> frozenset[int]:
        """The stages that are executed without asking the cache."""
        if self.request.no_cache:
            return frozenset(range(len(self.dockerfile.stages)))
        names = self.request.no_cache_stages
        return frozenset(self._asked_for(name, "no-cache-filter").index for name in names)

    def _asked_for(self, name: str, what: str) -> Stage:
        stage = self.dockerfile.stage(name)
        if stage is None:
            names = tuple(stage.name for stage in self.dockerfile.stages if stage.name)
            suggestion = near(name.lower(), names)
            raise InvalidInput(
                f'{what} stage "{name}" could not be found',
                hint=f"did you mean {suggestion}?" if suggestion else "",
            )
        return stage

    def needed(self) -> tuple[Stage, ...]:
        """The target and what it is made of, in the order of the file. Raises DockerfileError
        when a stage needs itself."""
        done: dict[int, bool] = {}  # False while what it needs is being looked at
        path = [(self.target().index, iter(self._requirements(self.target())))]
        done[path[0][0]] = False
        while path:
            index, requirements = path[-1]
            needed = next(requirements, None)
            if needed is None:
                done[index] = True
                path.pop()
            elif needed not in done:
                done[needed] = False
                stage = self.dockerfile.stages[needed]
                path.append((needed, iter(self._requirements(stage))))
            elif not done[needed]:
                raise self._circular([index for index, _ in path], needed)
        stages = tuple(self.dockerfile.stages[index] for index in sorted(done))
        for stage in stages:
            self._refuse_other_platform(stage)
        return stages

    def _refuse_other_platform(self, stage: Stage) -> None:
        """A stage for another platform may stand in the file as long as it is not needed."""
        platform, position = self.bases[stage.index].platform, stage.base.position
        if platform and platform != host_platform():
            error = Unsupported(
                f"{self.dockerfile.file_name}:{position.line}: --platform={platform} cannot be "
                f"built here, only {host_platform()}",
                hint="programs run on this machine's own processor: leave --platform out",
            )
            error.excerpt = self.dockerfile.listing(position)
            raise error

    def _circular(self, path: list[int], first: int) -> DockerfileError:
        circle = [self.dockerfile.stages[index] for index in path[path.index(first) :]]
        names = [stage.name or str(stage.index) for stage in circle]
        chain = " → ".join([*names, names[0]])
        reason = f"circular dependency detected on stage: {names[0]} ({chain})"
        return self.dockerfile.error(self.dockerfile.stages[first].base.position, reason)

    def _sources(self, stage: Stage) -> Iterable[tuple[SourceStage, i.Instruction]]:
        yield self.base_source(stage), stage.base
        for instruction in (*self.triggers(stage), *stage.instructions):
            for name in _names_after_from(instruction):
                yield self.named_source(stage, name, instruction.position), instruction

    def _requirements(self, stage: Stage) -> list[int]:
        stages = (source.stage for source, _ in self._sources(stage))
        return [number for number in stages if number is not None]

    def needed_images(self) -> dict[str, i.Instruction]:
        """The images that the needed stages begin with or copy from, each with the first
        instruction that names it."""
        names: dict[str, i.Instruction] = {}
        for stage in self.needed():
            for source, instruction in self._sources(stage):
                if source.image and source.image.lower() != SCRATCH:
                    with located(self.dockerfile, instruction):
                        _check_name(source.image)
                    names.setdefault(source.image, instruction)
        return names


def _names_after_from(instruction: i.Instruction) -> list[str]:
    match instruction:
        case i.Copy(from_=name):
            return [name]
        case i.Run(mounts=mounts):
            return [mount.options["from"] for mount in mounts if "from" in mount.options]
    return []


def _check_name(name: str) -> None:
    if not _IMAGE_ID.fullmatch(name):  # which is no name, on purpose
        ImageReference.parse(name)


def needed_images(
    dockerfile: Dockerfile, request: BuildRequest, known: Mapping[str, Base] | None = None
) -> dict[str, i.Instruction]:
    """The images that must be present before `make_plan`, each with the first instruction that
    names it. ONBUILD triggers of the `known` ones may add more."""
    return Stages.of(dockerfile, request, known or {}).needed_images()


@contextmanager
def located(dockerfile: Dockerfile, instruction: i.Instruction) -> Iterator[None]:
    """Mistakes that a value reveals get the place of the instruction."""
    try:
        yield
    except InvalidInput as error:
        if isinstance(error, DockerfileError):
            raise
        raise dockerfile.error(instruction.position, error.message) from None


def _expanded_base(dockerfile: Dockerfile, stage: Stage, scope: Scope) -> i.From:
    base, variables = stage.base, scope.variables()
    with located(dockerfile, base):
        image = expand(base.image, variables, dockerfile.escape)
        platform = expand(base.platform, variables, dockerfile.escape)
    if not image:
        raise dockerfile.error(base.position, f"base name ({base.image}) should not be blank")
    if base.platform and not platform:
        known = tuple(scope.values)
        meant = next(filter(None, (near(name, known) for name in sorted(variables.missing))), "")
        reason = f"empty platform value from expression {base.platform}"
        raise dockerfile.error(base.position, reason, meant)
    return replace(base, image=image, platform=platform)
