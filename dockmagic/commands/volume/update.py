"""`docker volume update`, which changes volumes of a Swarm cluster only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import Unsupported

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="volume update",
        usage="[OPTIONS] VOLUME",
        summary="Update a volume (cluster volumes only)",
        minimum=1,
        maximum=1,
        flags=(
            value(
                "availability",
                help='Cluster Volume availability ("active", "pause", "drain")',
                default="active",
            ),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Result:
    """Raises NotFound for a missing volume and, as Docker outside a Swarm, an error for others."""
    engine.volumes.get(arguments.words[0])
    raise Unsupported("can only update cluster volumes")
