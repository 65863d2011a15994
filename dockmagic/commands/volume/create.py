"""`docker volume create`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.environment import check_label, read_labels
from dockmagic.commands.options.flags import Arguments, Parser, planned, value, values
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.volume import Volume

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="volume create",
        usage="[OPTIONS] [VOLUME]",
        summary="Create a volume",
        maximum=1,
        flags=(
            value("driver", "d", "Specify volume driver name", default="local"),
            values("label", help="Set metadata for a volume", convert=check_label),
            value("name", hidden=True),
            values("opt", "o", "Set driver specific options", type="map", default_text="map[]"),
            *planned(
                "availability=string", "group=string", "limit-bytes=bytes", "required-bytes=bytes",
                "scope=string", "secret=map", "sharing=string", "topology-preferred=list",
                "topology-required=list", "type=string",
            ),
        ),
    )  # fmt: skip


class CreatedVolume(Result, frozen=True):
    """Docker prints the name."""

    volume: Volume

    def text(self) -> str:
        return self.volume.name

    def stable(self) -> str:
        return "(anonymous volume)" if self.volume.is_anonymous else self.volume.name

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": self.volume.name, "driver": self.volume.driver}]


def run(engine: EngineApi, arguments: Arguments) -> CreatedVolume:
    name = arguments.flag("name")
    if name and arguments.words:
        raise InvalidInput(
            "conflicting options: cannot specify a volume-name through both --name "
            "and as a positional arg"
        )
    options = dict(_option(text) for text in arguments.flag("opt"))
    volume = engine.volumes.create(
        arguments.words[0] if arguments.words else name,
        driver=arguments.flag("driver"),
        labels=read_labels((), arguments.flag("label")),
        driver_opts=options,
    )
    return CreatedVolume(volume)


def _option(text: str) -> tuple[str, str]:
    key, _, text = text.partition("=")
    return key, text
