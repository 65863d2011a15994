"""`docker pull`, and the pull that `run`, `create` and `build` begin with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.options.platform import TRUST, other_platform
from dockmagic.commands.output.result import Event, Result, notice
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullDone, PullStatus
from dockmagic_runtime.model.reference import ImageReference

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="pull",
        usage="[OPTIONS] NAME[:TAG|@DIGEST]",
        summary="Download an image from a registry",
        minimum=1,
        maximum=1,
        flags=(
            switch("quiet", "q", "Suppress verbose output"),
            switch("all-tags", "a", "Download all tagged images in the repository"),
            value("platform", help="Set platform if server is multi-platform capable"),
            TRUST,
        ),
    )


class Pulled(Result, frozen=True):
    """An image that is here now."""

    image: Image
    reference: str
    was_present: bool = False

    def text(self) -> str:
        return self.reference

    def rows(self) -> list[dict[str, Any]]:
        return [{"reference": self.reference, "id": self.image.id, "size": self.image.size}]


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    (name,) = arguments.words
    reference = ImageReference.parse(name)
    quiet, all_tags = arguments.flag("quiet"), arguments.flag("all-tags")
    platform = other_platform(arguments.flag("platform"))
    is_tagged = bool(reference.digest) or name.endswith(f":{reference.tag}")
    if all_tags and is_tagged:
        raise InvalidInput("tag can't be used with --all-tags/-a")
    if not (quiet or all_tags or is_tagged):
        yield PullStatus(status=f"Using default tag: {reference.tag}")
    done = None
    for event in engine.images.pull(name, all_tags=all_tags, platform=platform):
        if isinstance(event, PullDone):
            done = event
        elif not quiet:
            yield event
    if done is not None:
        name = reference.name if all_tags else reference.canonical
        yield Pulled(done.image, name, done.was_present)


def ensure_image(engine: EngineApi, name: str, policy: str, *, quiet: bool) -> Iterator[Event]:
    """Pull what `--pull` says is to be pulled, before a container is made of it."""
    if policy == "always":
        yield from _pull(engine, name, quiet=quiet)
    elif policy == "missing":
        absence = _absence(engine, name)
        if absence is not None:
            yield from _pull_missing(engine, name, absence, quiet=quiet)


def _absence(engine: EngineApi, name: str) -> NotFound | None:
    """None if it is here."""
    try:
        engine.images.get(name)
    except NotFound as error:
        return error
    return None


def _pull_missing(
    engine: EngineApi, name: str, absence: NotFound, *, quiet: bool
) -> Iterator[Event]:
    reference = ImageReference.parse(name)
    yield notice(f"Unable to find image '{reference.familiar}' locally")
    try:
        yield from _pull(engine, name, quiet=quiet)
    except DockmagicError as error:
        # A name that is written like one of an image that is here was probably meant for it.
        error.hint = "; ".join(filter(None, [absence.hint, error.hint]))
        raise


def _pull(engine: EngineApi, name: str, *, quiet: bool) -> Iterator[Event]:
    for event in engine.images.pull(name):
        if not quiet and not isinstance(event, PullDone):
            yield event
