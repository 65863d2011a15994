"""`--cache-from` and `--cache-to`."""

from __future__ import annotations

from dockmagic.commands.builder.attributes import attributes
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.build import BuildCacheSpec
from dockmagic_runtime.model.go_values import parse_bool
from dockmagic_runtime.model.reference import ImageReference

_ELSEWHERE = ("gha", "s3", "azblob")  # BuildKit's, for services that others run
_FROM = {"local": ("src", "tag", "digest"), "registry": ("ref",)}
_EXPORT = ("mode", "ignore-error", "oci-mediatypes", "image-manifest", "compression")
_TO = {
    "local": ("dest", "tag", *_EXPORT),
    "registry": ("ref", *_EXPORT),
    "inline": (),
}
_ONLY = {"oci-mediatypes": "true", "image-manifest": "true", "compression": "gzip"}


def parse_cache_from(text: str) -> BuildCacheSpec:
    """`IMAGE`, `type=registry,ref=IMAGE` or `type=local,src=DIRECTORY[,tag=TAG]`."""
    if "=" not in text:
        return BuildCacheSpec(kind="registry", where=_reference(text))
    kind, words = _words(text, _FROM)
    if kind == "registry":
        return BuildCacheSpec(kind=kind, where=_reference(words.get("ref", "")))
    if not words.get("src"):
        raise ValueError("local cache importer requires src")
    return BuildCacheSpec(
        kind=kind,
        where=words["src"],
        tag=words.get("tag", "latest"),
        digest=words.get("digest", ""),
    )


def parse_cache_to(text: str) -> BuildCacheSpec:
    """`IMAGE`, `type=inline`, `type=registry,ref=IMAGE` or `type=local,dest=DIRECTORY`."""
    if "=" not in text:
        return BuildCacheSpec(kind="registry", where=_reference(text))
    kind, words = _words(text, _TO)
    mode = words.get("mode", "min")
    if mode not in ("min", "max"):
        raise ValueError(f"mode={mode}: one of min, max")
    for key, only in _ONLY.items():
        if words.get(key, only) != only:
            raise ValueError(f"{key}={words[key]} is not supported, only {only}")
    where = words.get("dest", "")
    if kind == "registry":
        where = _reference(words.get("ref", ""))
    elif kind == "local" and not where:
        raise ValueError("local cache exporter requires dest")
    return BuildCacheSpec(
        kind=kind,
        where=where,
        mode=mode,
        tag=words.get("tag", "latest"),
        ignore_error=parse_bool(words.get("ignore-error", "false")),
    )


def _words(text: str, known: dict[str, tuple[str, ...]]) -> tuple[str, dict[str, str]]:
    kind = attributes(text, None).get("type", "")
    if kind in _ELSEWHERE:
        raise ValueError(f"caches of type {kind} are not supported, those of type registry are")
    if kind not in known:
        raise ValueError(f'unknown cache type "{kind}", one of {", ".join(known)}')
    return kind, attributes(text, ("type", *known[kind]))


def _reference(text: str) -> str:
    if not text:
        raise ValueError("registry cache requires ref")
    try:
        return ImageReference.parse(text).canonical
    except InvalidInput as error:
        raise ValueError(error.message) from None
