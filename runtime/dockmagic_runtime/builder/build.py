"""`Builder`: a request in, events out, an image in the end.

Order: read the Dockerfile, get the base images that are missing, plan, run the plan, write the
image if there is none of that id, move the tags. Nothing is done before the whole plan is known
to make sense.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Final

from msgspec.structs import replace

from dockmagic_runtime.builder.cache.build_record import BuildRecorder, keep, kept
from dockmagic_runtime.builder.cache.miss import CacheMissExplainer, series_of
from dockmagic_runtime.builder.cache.remote_cache import RemoteCache
from dockmagic_runtime.builder.cache.store import BuildCache, forget, forget_down_to, usage
from dockmagic_runtime.builder.context.content_hash import ContextDigests
from dockmagic_runtime.builder.context.context import localized
from dockmagic_runtime.builder.context.remotes import Remotes
from dockmagic_runtime.builder.context.scratch import Scratch
from dockmagic_runtime.builder.context.source_hash import Digester
from dockmagic_runtime.builder.context.sources import Sources
from dockmagic_runtime.builder.error_locations import missing_image
from dockmagic_runtime.builder.execute.build_run import BuildRun
from dockmagic_runtime.builder.execute.copying import Copier
from dockmagic_runtime.builder.execute.parallel import Claims
from dockmagic_runtime.builder.execute.step_executor import StepExecutor
from dockmagic_runtime.builder.image_config import image_document, timestamp
from dockmagic_runtime.builder.interfaces import Images, Layers, StepRunner, Workspace
from dockmagic_runtime.builder.plan.checks import as_warning, ignored_sources
from dockmagic_runtime.builder.plan.plan import needed_images, plan
from dockmagic_runtime.builder.plan.source_stage import SourceStage
from dockmagic_runtime.builder.plan.steps import Base, Plan, TransferStep
from dockmagic_runtime.builder.run_mounts.cache_mounts import CacheMounts
from dockmagic_runtime.builder.run_mounts.prepare import Mounter
from dockmagic_runtime.dockerfile import Dockerfile, parse
from dockmagic_runtime.errors import EngineBug, InvalidInput, NotFound
from dockmagic_runtime.images.oci_documents import image_id
from dockmagic_runtime.model.build import BuildDone, BuildEvent, BuildRequest, BuildStarted
from dockmagic_runtime.model.explanation import BuildExplanation
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.outline import BuildOutline
from dockmagic_runtime.model.progress import PullDone, PullEvent
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.usage import CacheBounds
from dockmagic_runtime.store.database import Database

_CHECKS: Final = "BUILDKIT_DOCKERFILE_CHECK"  # an argument in the place of `# check=…`


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
        exchange: RemoteCache,
        scratch: str,
        caches: str,
        digests: str,
    ) -> None:
        """`scratch`, `caches` and `digests` are directories of the Docker area, on its file
        system; the last two are made when they are needed."""
        self._images = images
        self._layers = layers
        self._database = database
        self._runner = runner
        self._workspace = workspace
        self._pull = pull
        self._exchange = exchange
        self._scratch = scratch
        self._caches = CacheMounts(caches)
        self._digests = ContextDigests(digests)

    def build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        """Build, telling what happens. Closing the iterator early leaves nothing behind."""
        tags = tuple(ImageReference.parse(tag).familiar for tag in request.tags)
        with ExitStack() as stack:
            scratch = Scratch(self._scratch)
            stack.callback(scratch.close)
            series = series_of(request)
            yield from self._build(localized(request, scratch), tags, series, scratch, stack)

    def _build(
        self,
        request: BuildRequest,
        tags: tuple[str, ...],
        series: str,
        scratch: Scratch,
        stack: ExitStack,
    ) -> Iterator[BuildEvent]:
        began = time.monotonic()
        dockerfile = parse(
            request.dockerfile or "", request.file_name, request.build_args.get(_CHECKS)
        )
        bases = yield from self._bases(dockerfile, request)
        made = plan(dockerfile, request, bases)
        execution = self._execution(request, made, series, scratch, stack)
        execution.imported = yield from self._exchange.imported(request, stack)
        made = _with_ignored(dockerfile, made, execution)
        yield BuildStarted(
            steps=len(made.steps),
            stages=len({step.stage for step in made.steps}),
            warnings=made.warnings,
        )
        if request.check:
            return
        recorder = BuildRecorder(made, request)
        yield from recorder.watched(execution.run())
        if request.outputs:
            self._export(request, execution)
        image = self._tagged(self._image(made, execution, request), tags)
        explanation = recorder.explanation(image.id)
        if recorder.has_misses:  # else what is known of an earlier build says more
            execution.reasons.save()
            keep(execution.cache, explanation)
        yield from self._exchange.exported(request, execution.results, execution.result)
        stack.close()  # what was done is known before anybody is told
        yield BuildDone(
            image=image,
            tags=tags,
            seconds=time.monotonic() - began,
            warnings=made.warnings,
            explanation=explanation,
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
        found = kept(BuildCache(self._database), image.id)
        if found is None:
            raise NotFound(
                f"it is not known how {reference} was built",
                hint="it came from elsewhere, or the build cache was pruned since",
            )
        return found

    def failed(self) -> Image:
        """The files that the last failed RUN has left, as an image that begins with a shell.

        Made when it is asked for. Raises NotFound when there is none, or it was pruned.
        """
        found = BuildCache(self._database).failed()
        if found is None:
            raise NotFound("no step of a build has failed", hint="or its files were pruned since")
        document, chain_ids = found
        return self._present(image_id(document)) or self._images.put(document, chain_ids)

    def prune_cache(
        self,
        *,
        unused_only: bool = False,
        before: float = float("inf"),
        bounds: CacheBounds | None = None,
    ) -> int:
        """Forget results that were used last `before`, or only those whose layers no image has,
        and with `bounds` only as many as it takes; remove the layers that nothing else needs.
        Their bytes."""
        if bounds is None:
            forget(self._database, unused_only=unused_only, before=before)
            return self._layers.prune()
        total = sum(one.size for one in usage(self._database))
        goal = bounds.goal(total, self._exchange.free())
        forget_down_to(self._database, goal, unused_only=unused_only, before=before)
        return self._layers.prune()

    def prune_cache_mounts(self) -> int:
        """Remove the directories of `RUN --mount=type=cache` that no build uses; their bytes."""
        self._digests.forget()
        return self._caches.prune()

    def _bases(
        self, dockerfile: Dockerfile, request: BuildRequest
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
                    bases[name] = yield from self._base(name, request)

    def _base(self, name: str, request: BuildRequest) -> Generator[BuildEvent, None, Base]:
        image = None if request.pull else self._present(name)
        was_pulled = image is None
        if image is None:
            image = yield from self._pulled(name)
        return Base(
            image_id=image.id,
            config=self._images.config(image.id),
            chain_ids=image.chain_ids,
            was_pulled=was_pulled,
        )

    def _present(self, name: str) -> Image | None:
        try:
            return self._images.resolve(name)
        except NotFound:
            return None

    def _pulled(self, name: str) -> Generator[BuildEvent, None, Image]:
        for event in self._pull(name):
            if isinstance(event, PullDone):
                return event.image
            yield event
        raise EngineBug(f"the pull of {name} ended without an image")

    def _export(self, request: BuildRequest, execution: BuildRun) -> None:
        from dockmagic_runtime.builder.execute.export import export

        for output in request.outputs:
            with execution.performer.sources.merged(execution.result.chain_ids) as tree:
                export(tree, output, execution.performer.epoch)

    def _execution(
        self,
        request: BuildRequest,
        made: Plan,
        series: str,
        scratch: Scratch,
        stack: ExitStack,
    ) -> BuildRun:
        cache = BuildCache(self._database)
        sources = Sources(request, self._layers, self._workspace, scratch, self._digests)
        stack.callback(sources.close)  # before the directories that they are mounted from
        stack.callback(self._digests.save)
        stack.callback(cache.flush)  # what was done is known next time, whatever failed then
        digester = Digester(sources, cache)
        remotes = Remotes(scratch, cache)
        stack.callback(remotes.close)
        copier = Copier(digester, remotes, scratch)
        mounter = Mounter(
            request, digester, scratch, self._caches, self._workspace.target, self._layers.path
        )
        performer = StepExecutor(
            request,
            self._layers,
            self._runner,
            sources,
            scratch,
            copier,
            mounter,
            cache,
            made.epoch,
        )
        reasons = CacheMissExplainer(cache, made, series)
        return BuildRun(
            made, cache, copier, mounter, performer, reasons, Claims(performer.cancellation)
        )

    def _image(self, made: Plan, execution: BuildRun, request: BuildRequest) -> Image:
        """The image of the target. A FROM with nothing after it is its base image itself."""
        tip = execution.result
        if tip.base_id and not tip.steps and not request.labels:
            return self._images.resolve(tip.base_id)
        created = tip.created or timestamp(0)
        inline = self._exchange.inline(request, execution.results, tip)
        document = image_document(
            tip.document, made.config, tip.history, tip.diff_ids, created, inline
        )
        return self._present(image_id(document)) or self._images.put(document, tip.chain_ids)

    def _tagged(self, image: Image, tags: tuple[str, ...]) -> Image:
        """The image with these names; a name that it has is not written again."""
        new = [tag for tag in tags if tag not in image.tags]
        for tag in new:
            self._images.tag(image.id, tag)
        return self._images.resolve(image.id) if new else image


def _with_ignored(dockerfile: Dockerfile, made: Plan, execution: BuildRun) -> Plan:
    """The plan, with warnings of COPYs whose source .dockerignore leaves out."""
    copies = [step for step in made.steps if isinstance(step, TransferStep) and step.sources]
    if not any(step.origin == SourceStage() for step in copies):
        return made
    try:
        rules = execution.performer.sources.context().rules
    except InvalidInput:
        return made  # there is no context: the step says so, with its line
    found = dockerfile.wanted(ignored_sources(copies, rules))
    told = (as_warning(dockerfile, one) for one in found)
    return replace(made, warnings=(*made.warnings, *told)) if found else made
