"""Flags of `docker build` that ask for what there is not, unless their value asks for nothing."""

from __future__ import annotations

from collections.abc import Callable

from dockmagic.commands.options.flags import Flag, unsupported
from dockmagic_runtime.model.go_values import parse_bool

_NO = ("false", "0", "f", "disabled=true")
_SQUASH = "layers are kept as they are made; for a single one: FROM scratch, COPY --from=STAGE / /"
_ATTESTATION = "not supported, attestations are not made here, as with Docker's classic image store"


def _only(*values: str) -> Callable[[str], str | None]:
    """Accepts these texts, which ask for what is so anyway."""

    def convert(text: str) -> str | None:
        return None if text.lower() in values else text

    return convert


def _attestation(text: str) -> str | None:
    """`type=sbom,disabled=true` asks for none."""
    return None if text.lower().split(",")[-1] in _NO else text


def _switched(text: str) -> str | None:
    return "true" if parse_bool(text) else None


REFUSED_FLAGS: tuple[Flag, ...] = (
    *unsupported(
        "not supported, annotations belong to manifests, which a push makes; use --label",
        "annotation=stringArray",
    ),
    *unsupported(_ATTESTATION, "attest=stringArray", "provenance=string", "sbom=string",
             convert=_attestation),
    *unsupported("not supported, there is one builder, called default", "builder=string",
             convert=_only("", "default", "dockmagic")),
    *unsupported("not supported, containers are isolated by Linux namespaces only",
             "isolation=string", convert=_only("", "default")),
    *unsupported("security options cannot be set for a build on Linux, as with Docker; "
             "RUN --security=insecure with --allow security.insecure is what there is",
             "security-opt=strings"),
    *unsupported(_SQUASH, "squash", convert=_switched),
)  # fmt: skip
