"""`docker push`: an image to its registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.options.platform import TRUST, check_image
from dockmagic.commands.output.result import Event, Result
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.progress import PullStatus, PushDone
from dockmagic_runtime.model.reference import ImageReference

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="push",
        usage="[OPTIONS] NAME[:TAG]",
        summary="Upload an image to a registry",
        minimum=1,
        maximum=1,
        flags=(
            switch("all-tags", "a", "Push all tags of an image to the repository"),
            switch("quiet", "q", "Suppress verbose output"),
            value(
                "platform",
                help="Push a platform-specific manifest as a single-platform image to the registry."
                "\nImage index won't be pushed, meaning that other manifests, including "
                "attestations won't be preserved.\n"
                "'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
            ),
            replace(TRUST, help="Skip image signing"),
        ),
    )


class Pushed(Result, frozen=True):
    """What the registry has now, a row for each tag. Docker's client only repeats the name."""

    done: tuple[PushDone, ...]
    is_quiet: bool = False

    def text(self) -> str:
        if not self.is_quiet:
            return ""
        return "\n".join(ImageReference.parse(event.reference).canonical for event in self.done)

    def stable(self) -> str:
        return "\n".join(f"{event.reference} pushed" for event in self.done)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"reference": event.reference, "digest": event.digest, "size": event.size}
            for event in self.done
        ]


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    (name,) = arguments.words
    quiet, all_tags = arguments.flag("quiet"), arguments.flag("all-tags")
    reference = ImageReference.parse(name)
    if all_tags and (reference.digest or name.endswith(f":{reference.tag}")):
        raise InvalidInput("tag can't be used with --all-tags/-a")
    if platform := arguments.flag("platform"):
        if all_tags:
            raise InvalidInput("--platform can't be used with --all-tags/-a")
        check_image(engine.images.get(name), name, platform)
    if not all_tags and reference.tag and not name.endswith(f":{reference.tag}") and not quiet:
        yield PullStatus(status=f"Using default tag: {reference.tag}")
    done: list[PushDone] = []
    for event in engine.images.push(name, all_tags=all_tags):
        if isinstance(event, PushDone):
            done.append(event)
        elif not quiet:
            yield event
    yield Pushed(tuple(done), is_quiet=quiet)
