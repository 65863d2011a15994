"""Which stages a build needs, and what their FROM and COPY --from lines refer to. Pure."""

from __future__ import annotations

import platform as _platform
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.builder.plan.scope import Scope, Variables
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
        predefined = platform_arguments(request.target)
        scope = Scope(request.build_args, {}, predefined, dockerfile.escape)
        for arg in dockerfile.arguments:
            with located(dockerfile, arg):
                scope.declare(arg, predefined)
        outer = {**predefined, **scope.arguments()}
        variables = Variables(outer)
        bases = [_expanded_base(dockerfile, stage, variables) for stage in dockerfile.stages]
        return cls(dockerfile, request, scope, bases, images)

    @property
    def outer(self) -> dict[str, str]:
        """The values of the ARGs before the first FROM."""
        return self.scope.arguments()

    def triggers(self, stage: Stage) -> tuple[i.Instruction, ...]:
        """What the ONBUILDs of the stage's base do in it, placed at its FROM."""
        source_stage, position = self.source_stage(stage), stage.base.position
        if source_stage.stage is not None:
            before = self.dockerfile.stages[source_stage.stage].instructions
            triggers = [trigger for trigger in before if isinstance(trigger, i.Onbuild)]
            expressions = [trigger.expression for trigger in triggers]
        else:
            image = self.images.get(source_stage.image)
            config = (image.config.get("config") or {}) if image else {}
            expressions = list(config.get("OnBuild") or ())
        return tuple(parse_trigger(expression, position) for expression in expressions)

    def source_stage(self, stage: Stage) -> SourceStage:
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
        """What `--from=` names in a COPY or a mount; "" is the build context. Any stage of the
        file will do, as with BuildKit, as long as none waits for itself."""
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
        return tuple(self.dockerfile.stages[index] for index in sorted(done))

    def _circular(self, path: list[int], first: int) -> DockerfileError:
        circle = [self.dockerfile.stages[index] for index in path[path.index(first) :]]
        names = [stage.name or str(stage.index) for stage in circle]
        chain = " → ".join([*names, names[0]])
        reason = f"circular dependency detected on stage: {names[0]} ({chain})"
        return self.dockerfile.error(self.dockerfile.stages[first].base.position, reason)

    def _source_stages(self, stage: Stage) -> Iterable[tuple[SourceStage, i.Instruction]]:
        yield self.source_stage(stage), stage.base
        for instruction in (*self.triggers(stage), *stage.instructions):
            for name in _names_after_from(instruction):
                yield self.named_source(stage, name, instruction.position), instruction

    def _requirements(self, stage: Stage) -> list[int]:
        return [
            source_stage.stage
            for source_stage, _ in self._source_stages(stage)
            if source_stage.stage is not None
        ]

    def needed_images(self) -> dict[str, i.Instruction]:
        """The images that the needed stages begin with or copy from, each with the first
        instruction that names it."""
        names: dict[str, i.Instruction] = {}
        for stage in self.needed():
            for source_stage, instruction in self._source_stages(stage):
                if source_stage.image and source_stage.image.lower() != SCRATCH:
                    with located(self.dockerfile, instruction):
                        _check_name(source_stage.image)
                    names.setdefault(source_stage.image, instruction)
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


def _expanded_base(dockerfile: Dockerfile, stage: Stage, variables: Mapping[str, str]) -> i.From:
    base = stage.base
    with located(dockerfile, base):
        image = expand(base.image, variables, dockerfile.escape)
        platform = expand(base.platform, variables, dockerfile.escape)
    if not image:
        raise dockerfile.error(base.position, f"base name ({base.image}) should not be blank")
    if platform and platform != host_platform():
        error = Unsupported(
            f"{dockerfile.file_name}:{base.position.line}: --platform={platform} cannot be built "
            f"here, only {host_platform()}",
            hint="programs run on this machine's own processor: leave --platform out",
        )
        error.excerpt = dockerfile.excerpt(base.position)
        raise error
    return replace(base, image=image, platform=platform)
