"""`Catalogue`: which stand-ins there are, and how one is made by the engine's own builder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from dockmagic_runtime.catalogue.recipe import Recipe, recipes
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    BuildStarted,
    StepDone,
    StepOutput,
    StepStarted,
    StepStatus,
)
from dockmagic_runtime.model.image import STAND_IN_LABEL, Image
from dockmagic_runtime.model.progress import STAND_IN, STEP, PullDone, PullEvent, PullStatus
from dockmagic_runtime.model.reference import DEFAULT_REGISTRY, ImageReference
from dockmagic_runtime.model.suggest import did_you_mean
from dockmagic_runtime.store.data_root import DataRoot

POLICIES: Final = ("when-unreachable", "never", "always")
_WIDTH: Final = 72  # of an instruction in a status line

Build = Callable[[BuildRequest], Iterator[BuildEvent]]


class Catalogue:
    """The stand-ins that an engine may make, by its policy."""

    def __init__(self, policy: str = "when-unreachable") -> None:
        if policy not in POLICIES:
            raise InvalidInput(
                f"invalid catalogue policy: {policy}", hint=f"one of: {', '.join(POLICIES)}"
            )
        self.policy = policy

    def find(self, reference: str) -> Recipe | None:
        """The recipe that answers to `reference`, if the policy lets us offer any.

        Every tag is answered; a digest is a promise about bytes, which a stand-in cannot keep.
        """
        name = ImageReference.parse(reference)
        if self.policy == "never" or name.registry != DEFAULT_REGISTRY or name.digest:
            return None
        short = name.repository.removeprefix("library/")
        is_official = short != name.repository  # has no user's namespace
        return recipes().get(short) if is_official != ("/" in short) else None

    def without_stand_in(self, reference: str, error: DockmagicError) -> RemoteFailed:
        """The error for an image that no registry could be asked for and that is not ours."""
        name = ImageReference.parse(reference)
        is_ours = self.policy != "never" and name.registry == DEFAULT_REGISTRY
        hint = _offer(name.familiar_name) if is_ours else error.hint
        return RemoteFailed(f"cannot pull {name.familiar}: {error.message}", hint=hint)

    def search(self, term: str) -> tuple[Recipe, ...]:
        """Recipes with `term` in their name or description, by name."""
        if self.policy == "never":
            return ()
        words = term.lower().removeprefix("library/")
        return tuple(
            recipe
            for name, recipe in sorted(recipes().items())
            if words in name or words in recipe.description.lower()
        )

    def make(
        self,
        reference: str,
        build: Build,
        data_root: DataRoot,
        find_image: Callable[[str], Image | None] = lambda _: None,
        *,
        why: str = "",
    ) -> Iterator[PullEvent]:
        """Makes the stand-in for `reference` with the engine's `build`, and says in one line that
        it is one, and `why`.

        `find_image` returns the image that has a name now: if the recipe would give the same
        again, nothing is made.
        """
        recipe = self.find(reference)
        if recipe is None:
            raise NotFound(f"the catalogue has no stand-in for {reference}")
        from dockmagic_runtime.catalogue import host, stamps

        name = ImageReference.parse(reference)
        label = recipe.stand_in.format(host=host.distribution_name())
        because = f" ({why})" if why else ""
        notice = f"{name.familiar} is a stand-in: {label}{because}"
        yield PullStatus(status=notice, kind=STAND_IN)
        settings = (label, sorted(host.proxy_environment().items()))
        present = find_image(name.canonical)
        if present and present.id == stamps.image_of(data_root.catalogue, recipe, settings):
            yield PullStatus(status=f"Status: Image is up to date for {name.familiar}")
            yield PullDone(image=present, reference=name.familiar, was_present=True)
            return
        facts = stamps.facts(recipe, settings)
        yield from _build(recipe, facts, name, label, build, data_root)


def _build(
    recipe: Recipe,
    facts: str,
    name: ImageReference,
    label: str,
    build: Build,
    data_root: DataRoot,
) -> Iterator[PullEvent]:
    from dockmagic_runtime.catalogue import (  # only now: they load tarfile
        host,
        roots,
        stamps,
        wheels,
    )

    with roots.build_context(recipe, data_root) as context:
        root = context / "rootfs.tar"
        yield from roots.put_root(recipe, data_root, root)
        root_time = root.stat().st_mtime
        yield from wheels.put_wheels(recipe, context / "wheels")
        request = BuildRequest(
            dockerfile=recipe.dockerfile,
            context=str(context),
            tags=(name.canonical,),
            labels={STAND_IN_LABEL: label},
            build_args=host.proxy_environment(),
            network="host",  # package sources and proxies may listen on localhost
        )
        for event in _as_pull(build(request), name.familiar):
            if isinstance(event, PullDone):
                stamp = stamps.Stamp(facts=facts, image=event.image.id, root_time=root_time)
                stamps.write(data_root.catalogue, recipe, stamp)
            yield event


def _as_pull(events: Iterator[BuildEvent], reference: str) -> Iterator[PullEvent]:
    """A build's events in a pull's words."""
    steps: dict[int, int] = {}
    count = 0
    output: list[bytes] = []
    try:
        for event in events:
            if isinstance(event, BuildStarted):
                count = sum(bool(step.instruction) for step in event.planned)
            elif isinstance(event, StepStarted) and event.instruction:
                steps[event.number] = len(steps) + 1
                output.clear()
                yield _step(steps[event.number], count, _one_line(event.instruction))
            elif isinstance(event, StepOutput):
                output.append(event.data)
            elif isinstance(event, StepDone) and event.number in steps:
                status = "Already exists" if event.cached else "Complete"
                yield _step(steps[event.number], count, status)
            elif isinstance(event, StepStatus) and event.is_note:
                yield PullStatus(status=event.id)
            elif isinstance(event, BuildDone):
                yield PullDone(image=event.image, reference=reference)
    except DockmagicError as error:
        raise _explained(error, b"".join(output)) from error


def _step(number: int, count: int, status: str) -> PullStatus:
    id = f"step {number}/{count}"
    return PullStatus(status=status, id=id, kind=STEP, step=number, steps=count)


def _one_line(instruction: str) -> str:
    words = " ".join(instruction.split())
    return words if len(words) <= _WIDTH else f"{words[: _WIDTH - 1]}…"


def _explained(error: DockmagicError, output: bytes) -> DockmagicError:
    """The error of a step with the last line that the step printed, which gives the reason."""
    lines = output.decode(errors="replace").strip().splitlines()
    if not lines:
        return error
    return RemoteFailed(
        f"the stand-in could not be made: {error.message}: {lines[-1].strip()}", hint=error.hint
    )


def _offer(name: str) -> str:
    """What there is without a registry, the likeliest first."""
    known = sorted(recipes())
    listed = f"without a registry there are stand-ins for: {', '.join(known)}"
    meant = did_you_mean(name, known)
    return f"{meant} {listed[0].upper()}{listed[1:]}" if meant else listed
