"""`docker manifest inspect`: what a registry has under a name, without pulling it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dockmagic.commands.flags import Arguments, Parser, planned, switch
from dockmagic.commands.result import Result

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="manifest inspect",
        usage="[OPTIONS] MANIFEST",
        summary="Show a manifest or index of a registry",
        minimum=1,
        maximum=1,
        flags=(
            switch("insecure", help="Taken for Docker's sake; daemon.json says who is insecure"),
            *planned("v/verbose"),
        ),
    )


@dataclass(frozen=True, slots=True, repr=False)
class ManifestDocument(Result):
    """The document, as JSON to be read."""

    document: dict[str, Any]

    def text(self) -> str:
        return json.dumps(self.document, indent="\t", ensure_ascii=False)

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document.get("manifests") or self.document["layers"]
        return found


def run(engine: Engine, arguments: Arguments) -> ManifestDocument:
    return ManifestDocument(json.loads(engine.manifest(arguments.words[0])))
