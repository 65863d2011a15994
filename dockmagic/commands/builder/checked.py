"""`docker build --check`: what was found, in BuildKit's words and JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from dockmagic.commands.output.result import Chunk, Result, line
from dockmagic_runtime.model.build import BuildWarning

DESCRIPTIONS = {
    "ConsistentInstructionCasing": "All commands within the Dockerfile should use the same casing "
    "(either upper or lower)",
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "DuplicateStageName": "Stage names should be unique",
    "ExposeInvalidFormat": "IP address and host-port mapping should not be used in EXPOSE "
    "instruction. This will become an error in a future release",
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "InvalidBaseImagePlatform": "Base image platform does not match expected target platform",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base "
    "image name",
    "InvalidDefinitionDescription": "Comment for build stage or argument should follow the format: "
    "`# <arg/stage name> <description>`. If this is not intended to be a description comment, add "
    "an empty line or comment between the instruction and the comment.",
    "JSONArgsRecommended": "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended "
    "behavior related to OS signals",
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "MaintainerDeprecated": "The MAINTAINER instruction is deprecated, use a label instead to "
    "define an image author",
    "MultipleInstructionsDisallowed": "Multiple instructions of the same type should not be used "
    "in the same stage",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "RedundantTargetPlatform": "Setting platform to predefined $TARGETPLATFORM in FROM is "
    "redundant as this is the default behavior",
    "ReservedStageName": "Reserved words should not be used as stage names",
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "StageNameCasing": "Stage names should be lowercase",
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "UndefinedVar": "Variables should be defined before their use",
    "WorkdirRelativePath": "Relative workdir without an absolute workdir declared within the build "
    "can have unexpected results if the base image changes",
    # a check of our own
    "InvalidJSONForm": "The JSON form of an instruction should be valid JSON",
}


class DockerfileFailure(Struct, frozen=True):
    """Why a Dockerfile cannot be built at all: `places` are the first and last lines to blame."""

    message: str
    places: tuple[tuple[int, int], ...]
    excerpt: str = ""


class Checked(Result, frozen=True):
    """The warnings about a Dockerfile. `source` is its text, and `failure` what makes it none."""

    warnings: tuple[BuildWarning, ...]
    file_name: str = "Dockerfile"
    format: str = "text"
    source: str = ""
    failure: DockerfileFailure | None = None

    @property
    def exit_code(self) -> int:
        return 1 if self.warnings or self.failure else 0

    def chunks(self) -> Iterator[Chunk]:
        yield line(self.text())
        if self.failure is not None:
            text = f"ERROR: {self.failure.message}\n{self.failure.excerpt}\n"
            yield Chunk("stderr", text.encode("utf-8", "surrogateescape"))

    def text(self) -> str:
        if self.format == "json":
            return json.dumps(self._document(), indent=2, ensure_ascii=False)
        return "\n\n".join([self.head(), *map(_paragraph, self.warnings)])

    def head(self) -> str:
        count = len(self.warnings)
        if not count:
            return "Check complete, no warnings found."
        return f"Check complete, {count} warning{'s have' if count > 1 else ' has'} been found!"

    def _document(self) -> dict[str, Any]:
        data = base64.b64encode(self.source.encode("utf-8", "surrogateescape")).decode()
        source = {"filename": self.file_name, "data": data, "language": "Dockerfile"}
        document: dict[str, Any] = {"warnings": self.rows(), "sources": [source]}
        if self.failure is not None:
            location = {"ranges": [_range(*place) for place in self.failure.places]}
            document["buildError"] = {"message": self.failure.message, "location": location}
        return document

    def stable(self) -> str:
        return "\n".join([*map(str, self.warnings), self.head()])

    def rows(self) -> list[dict[str, Any]]:
        """BuildKit's keys; what no line is to blame for has no location."""
        return [dict(_row(warning)) for warning in self.warnings]


def _paragraph(warning: BuildWarning) -> str:
    if not warning.rule:
        return f"WARNING: {warning.text}"
    head = f"WARNING: {warning.rule} - {warning.url}"
    return "\n".join((head, warning.reason, warning.excerpt))


def _row(warning: BuildWarning) -> dict[str, Any]:
    if not warning.rule:
        return {"ruleName": "", "detail": warning.text}
    return {
        "ruleName": warning.rule,
        "description": DESCRIPTIONS[warning.rule],
        "url": warning.url,
        "detail": warning.reason,
        "location": {"ranges": [_range(warning.line, warning.last_line)]},
    }


def _range(first: int, last: int) -> dict[str, Any]:
    return {"start": {"line": first}, "end": {"line": last}}
