"""`Builder`: a request in, events out, an image in the end.

Order: read the Dockerfile, get the base images that are missing, plan, execute the plan, write the
image if there is none of that id, move the tags. Nothing is done before the whole plan is known
to make sense. What the builder does around the plan are steps of its own, as with BuildKit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Final

from msgspec.structs import replace

from dockmagic_runtime.builder.cache.build_record import BuildRecorder, keep, kept
from dockmagic_runtime.builder.cache.remote_cache import RemoteCache
from dockmagic_runtime.builder.cache.store import BuildCache, forget, forget_down_to, usage
from dockmagic_runtime.builder.context.content_hash import ContentHasher
from dockmagic_runtime.builder.context.context import load_name, localized
from dockmagic_runtime.builder.context.file_digests import ContextDigests
from dockmagic_runtime.builder.context.remotes import Remotes
from dockmagic_runtime.builder.context.scratch import Scratch
from dockmagic_runtime.builder.context.sources import Sources
from dockmagic_runtime.builder.error_locations import missing_image
from dockmagic_runtime.builder.execute.build_run import BuildRun
from dockmagic_runtime.builder.execute.cache_miss import CacheMissExplainer, series_of
from dockmagic_runtime.builder.execute.copying import Copier
from dockmagic_runtime.builder.execute.parallel import Claims
from dockmagic_runtime.builder.execute.step_executor import StepExecutor
from dockmagic_runtime.builder.image_config import image_document, timestamp
from dockmagic_runtime.builder.interfaces import Images, Layers, StepRunner, Workspace
from dockmagic_runtime.builder.own_steps import OwnSteps, Work, as_statuses, transferred
from dockmagic_runtime.builder.plan.checks import as_warning, ignored_sources
from dockmagic_runtime.builder.plan.names import canonical
from dockmagic_runtime.builder.plan.outlook import started
from dockmagic_runtime.builder.plan.plan import make_plan, needed_images
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import Base, Plan, TransferStep
from dockmagic_runtime.builder.run_mounts.cache_mounts import CacheMounts
from dockmagic_runtime.builder.run_mounts.prepare import Mounter
from dockmagic_runtime.dockerfile import Dockerfile, parse
from dockmagic_runtime.errors import EngineBug, InvalidInput, NotFound
from dockmagic_runtime.images.oci_documents import image_id
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildOutput,
    BuildRequest,
    StepStatus,
)
from dockmagic_runtime.model.explanation import BuildExplanation
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.outline import BuildOutline
from dockmagic_runtime.model.progress import PullDone, PullEvent, PullStatus
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.usage import CacheBounds
from dockmagic_runtime.store.database import Database

_CHECKS: Final = "BUILDKIT_DOCKERFILE_CHECK"  # an argument in the place of `# check=…`
_NO_IGNORE_FILE: Final = 2  # bytes that BuildKit transfers to find out that there is none
_EXPORTERS: Final = {
    "local": "exporting to client directory",
    "tar": "exporting to client tarball",
}


class Builder:
    """Builds images. One may be used by several threads, each with its own `build`."""

    def __init__(
        self,
        images: Images,
        layers: Layers,
        database: Database,
        runner: StepRunner,
        workspace: Workspace,
        pull: Callable[[str], Iterator[PullEvent]],
        *,
        remote_cache: RemoteCache,
        scratch: str,
        caches: str,
        digests: str,
        claims: str,
    ) -> None:
        """`scratch`, `caches` and `digests` are directories of the Docker area, on its file
        system; the last two are made when they are needed, as the file `claims` is."""
        self._images = images
        self._layers = layers
        self._database = database
        self._runner = runner
        self._workspace = workspace
        self._pull = pull
        self._remote_cache = remote_cache
        self._scratch = scratch
        self._caches = CacheMounts(caches)
        self._digests = ContextDigests(digests)
        self._claims = claims

    def build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        """Builds; yields events as it goes. Closing the iterator early leaves nothing behind."""
        tags = tuple(ImageReference.parse(tag).familiar for tag in request.tags)
        with ExitStack() as stack:
            scratch = Scratch(self._scratch)
            stack.callback(scratch.close)
            yield from self._build(request, tags, scratch, stack)

    def _build(
        self, request: BuildRequest, tags: tuple[str, ...], scratch: Scratch, stack: ExitStack
    ) -> Iterator[BuildEvent]:
        began, own, series = time.monotonic(), OwnSteps(), series_of(request)
        request = yield from _localized(request, scratch, own)
        dockerfile = yield from _parsed(request, own)
        bases = yield from self._bases(dockerfile, request, own)
        sources = self._opened(request, scratch, stack)
        ignored = transferred("context", max(sources.ignore_size(), _NO_IGNORE_FILE))
        yield from own.run("[internal] load .dockerignore", ignored)
        imported = yield from self._remote_cache.imported(request, stack, own)
        plan = make_plan(dockerfile, request, bases, own.last + 1)
        plan = _with_ignored(dockerfile, plan, sources)
        own.last = plan.last_number
        yield started(plan)
        if request.check:
            return
        execution = self._execution(request, plan, series, sources, scratch, stack)
        execution.imported = imported
        recorder = BuildRecorder(plan, request)
        yield from recorder.watched(execution.run())
        for output in request.outputs:
            yield from own.run(_EXPORTERS[output.kind], self._export(output, execution))
        image = yield from own.run(
            "exporting to image", self._image_export(request, tags, plan, execution)
        )
        explanation = recorder.explanation(image.id)
        # without a miss, what is known of the build that made the image says more
        if recorder.has_misses or kept(execution.cache, image.id) is None:
            execution.reasons.save()
            keep(execution.cache, explanation)
        yield from self._remote_cache.exported(request, execution.results, execution.result, own)
        stack.close()  # the cache is written before `BuildDone` is yielded
        yield BuildDone(
            image=image,
            tags=tags,
            seconds=time.monotonic() - began,
            warnings=plan.warnings,
            explanation=explanation,
            last_step=own.last,
        )

    def outline(self, request: BuildRequest) -> BuildOutline:
        """What the Dockerfile offers and takes. Raises DockerfileError."""
        from dockmagic_runtime.builder.plan.outline import outline

        scratch = Scratch(self._scratch)
        try:
            request = localized(request, scratch)
            return outline(parse(request.dockerfile or "", request.file_name), request)
        finally:
            scratch.close()

    def explain(self, reference: str) -> BuildExplanation:
        """How an image was built. Raises NotFound, also for one that was not built here."""
        image = self._images.resolve(reference)
        explanation = kept(BuildCache(self._database), image.id)
        if explanation is None:
            raise NotFound(
                f"it is not known how {reference} was built",
                hint="it came from elsewhere, or the build cache was pruned since",
            )
        return explanation

    def failed(self, left: str = "") -> Image:
        """The files that the last failed RUN has left, or the one that the event StepFailed calls
        `left`, as an image that begins with a shell.

        Made when it is asked for. Raises NotFound when there is none, or it was pruned.
        """
        failed = BuildCache(self._database).failed(left)
        if failed is None:
            raise NotFound("no step of a build has failed", hint="or its files were pruned since")
        document, chain_ids = failed
        return self._present(image_id(document)) or self._images.put(document, chain_ids)

    def prune_cache(
        self,
        *,
        unused_only: bool = False,
        before: float = float("inf"),
        bounds: CacheBounds | None = None,
    ) -> int:
        """Forgets results that were last used before `before` (seconds since the epoch), with
        `unused_only` only those of layers that no image has, with `bounds` only as many as it
        takes. Removes the layers that nothing else needs; returns their bytes."""
        if bounds is None:
            forget(self._database, unused_only=unused_only, before=before)
            return self._layers.prune()
        total = sum(entry.size for entry in usage(self._database))
        goal = bounds.goal(total, self._remote_cache.free())
        forget_down_to(self._database, goal, unused_only=unused_only, before=before)
        return self._layers.prune()

    def prune_cache_mounts(self) -> int:
        """Remove the directories of `RUN --mount=type=cache` that no build uses; their bytes."""
        self._digests.forget()
        return self._caches.prune()

    def _bases(
        self, dockerfile: Dockerfile, request: BuildRequest, own: OwnSteps
    ) -> Generator[BuildEvent, None, dict[str, Base]]:
        """The images that the stages are made of, and those that triggers of these ask for."""
        bases: dict[str, Base] = {}
        while True:
            wanted = needed_images(dockerfile, request, bases)
            new = [name for name in wanted if name not in bases]
            if not new:
                return bases
            for name in new:
                with missing_image(dockerfile, wanted[name], name, self._images):
                    step = f"[internal] load metadata for {canonical(name)}"
                    bases[name] = yield from own.run(step, self._base(name, request))

    def _base(self, name: str, request: BuildRequest) -> Work[Base]:
        def work(number: int) -> Generator[BuildEvent, None, Base]:
            image = None if request.pull else self._present(name)
            was_pulled = image is None
            if image is None:
                image = yield from self._pulled(name, number)
            return Base(
                image_id=image.id,
                config=self._images.config(image.id),
                chain_ids=image.chain_ids,
                was_pulled=was_pulled,
            )

        return work

    def _present(self, name: str) -> Image | None:
        try:
            return self._images.resolve(name)
        except NotFound:
            return None

    def _pulled(self, name: str, number: int) -> Generator[BuildEvent, None, Image]:
        for event in self._pull(name):
            if isinstance(event, PullDone):
                return event.image
            if isinstance(event, PullStatus):
                yield from as_statuses(number, event)
        raise EngineBug(f"the pull of {name} ended without an image")

    def _opened(self, request: BuildRequest, scratch: Scratch, stack: ExitStack) -> Sources:
        sources = Sources(request, self._layers, self._workspace, scratch, self._digests)
        stack.callback(sources.close)  # before the directories that they are mounted from
        stack.callback(self._digests.save)
        return sources

    def _execution(
        self,
        request: BuildRequest,
        plan: Plan,
        series: str,
        sources: Sources,
        scratch: Scratch,
        stack: ExitStack,
    ) -> BuildRun:
        cache = BuildCache(self._database)
        stack.callback(cache.flush)  # what was done is known next time, whatever failed then
        hasher = ContentHasher(sources, cache)
        remotes = Remotes(scratch, cache)
        stack.callback(remotes.close)
        copier = Copier(hasher, remotes, scratch)
        mounter = Mounter(
            request, hasher, scratch, self._caches, self._workspace.target, self._layers.path
        )
        executor = StepExecutor(
            request,
            self._layers,
            self._runner,
            sources,
            scratch,
            copier,
            mounter,
            cache,
            plan.epoch,
        )
        reasons = CacheMissExplainer(cache, plan, series)
        claims = Claims(self._claims, executor.cancellation)
        return BuildRun(plan, cache, copier, mounter, executor, reasons, claims)

    def _export(self, output: BuildOutput, execution: BuildRun) -> Work[None]:
        def work(number: int) -> Generator[BuildEvent, None, None]:
            from dockmagic_runtime.builder.execute.export import export

            with execution.executor.sources.merged(execution.result.chain_ids) as tree:
                export(tree, output, execution.executor.epoch)
            text = "copying files" if output.kind == "local" else "sending tarball"
            yield StepStatus(number=number, id=text, done=True)

        return work

    def _image_export(
        self, request: BuildRequest, tags: tuple[str, ...], plan: Plan, execution: BuildRun
    ) -> Work[Image]:
        def work(number: int) -> Generator[BuildEvent, None, Image]:
            image = self._image(plan, execution, request)
            yield StepStatus(number=number, id="exporting layers", done=True)
            yield StepStatus(number=number, id=f"writing image {image.id}", done=True)
            image = self._tagged(image, tags)
            for tag in request.tags:
                yield StepStatus(number=number, id=f"naming to {_full_name(tag)}", done=True)
            return image

        return work

    def _image(self, plan: Plan, execution: BuildRun, request: BuildRequest) -> Image:
        """The image of the target. A FROM with nothing after it is its base image itself."""
        state = execution.result
        if state.base_id and not state.steps and not request.labels:
            return self._images.resolve(state.base_id)
        created = state.created or timestamp(0)
        inline = self._remote_cache.inline(request, execution.results, state)
        document = image_document(
            state.document, plan.config, state.timed_history, state.diff_ids, created, inline
        )
        return self._present(image_id(document)) or self._images.put(document, state.chain_ids)

    def _tagged(self, image: Image, tags: tuple[str, ...]) -> Image:
        """The image with these names; a name that it has is not written again."""
        new = [tag for tag in tags if tag not in image.tags]
        for tag in new:
            self._images.tag(image.id, tag)
        return self._images.resolve(image.id) if new else image


def _localized(
    request: BuildRequest, scratch: Scratch, own: OwnSteps
) -> Generator[BuildEvent, None, BuildRequest]:
    """The request with directories for contexts; what is elsewhere is fetched as a step."""

    def work(number: int) -> Generator[BuildEvent, None, BuildRequest]:
        yield from ()
        return localized(request, scratch)

    name = load_name(request)
    if not name:
        return localized(request, scratch)
    return (yield from own.run(name, work))


def _parsed(request: BuildRequest, own: OwnSteps) -> Generator[BuildEvent, None, Dockerfile]:
    text = request.dockerfile or ""
    size = len(text.encode("utf-8", "surrogateescape"))
    yield from own.run(
        f"[internal] load build definition from {request.file_name}",
        transferred("dockerfile", size),
    )
    return parse(text, request.file_name, request.build_args.get(_CHECKS))


def _full_name(tag: str) -> str:
    """As BuildKit names it: in full, with a tag only if one was given."""
    reference = ImageReference.parse(tag)
    is_given = tag.endswith(f":{reference.tag}") or reference.digest
    return reference.canonical if is_given else reference.name


def _with_ignored(dockerfile: Dockerfile, plan: Plan, sources: Sources) -> Plan:
    """The plan, with warnings about COPYs of sources that .dockerignore leaves out."""
    copies = [step for step in plan.steps if isinstance(step, TransferStep) and step.sources]
    if not any(step.source_stage == SourceStage() for step in copies):
        return plan
    try:
        rules = sources.context().rules
    except InvalidInput:
        return plan  # there is no context: the step says so, with its line
    problems = dockerfile.wanted(ignored_sources(copies, rules))
    warnings = (as_warning(dockerfile, problem) for problem in problems)
    return replace(plan, warnings=(*plan.warnings, *warnings)) if problems else plan
