"""Candidates inside a Dockerfile: keywords, flags, stages, images, paths, programs, variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from dockmagic.commands.complete import files, objects
from dockmagic.commands.complete.candidate import Candidate
from dockmagic.commands.complete.objects import GetEngine
from dockmagic_runtime.errors import DockmagicError

_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "FROM": ("--platform=",),
    "RUN": ("--mount=type=", "--network=", "--security="),
    "COPY": ("--from=", "--chown=", "--chmod=", "--link", "--parents", "--exclude="),
    "ADD": (
        "--chown=", "--chmod=", "--link", "--keep-git-dir=", "--checksum=", "--unpack=",
        "--exclude=",
    ),
    "HEALTHCHECK": (
        "--interval=", "--timeout=", "--start-period=", "--start-interval=", "--retries=",
    ),
}  # fmt: skip
_FLAG_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "--mount=type": ("bind", "cache", "secret", "ssh", "tmpfs"),
    "--network": ("default", "host", "none"),
    "--platform": ("$BUILDPLATFORM", "$TARGETPLATFORM", "linux/amd64", "linux/arm64"),
}
_FROM: Final = re.compile(
    r"^\s*FROM\s+(?:--\S+\s+)*(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE | re.MULTILINE
)
_VARIABLE: Final = re.compile(r"^\s*(?:ARG|ENV)\s+([A-Za-z_]\w*)", re.IGNORECASE | re.MULTILINE)
_PREDEFINED: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PATH", "TARGETARCH", "TARGETOS")


class Stage(Struct, frozen=True):
    """A stage of a Dockerfile. `name` may be empty; `base` is an image, or another stage."""

    base: str
    name: str = ""


def stages(text: str) -> list[Stage]:
    """The stages in a text that need not be a valid Dockerfile yet."""
    return [Stage(match["base"], match["name"] or "") for match in _FROM.finditer(text)]


def complete_dockerfile(engine: GetEngine, text: str) -> tuple[str, list[Candidate]]:
    """The last word of a Dockerfile up to the cursor, and what may stand for it."""
    line = re.sub(r"\\\n", " ", text).rpartition("\n")[2]
    typed = re.split(r"\s", line)[-1]
    if "$" in typed:
        typed = typed[typed.rindex("$") :]
        hits: Iterator[Candidate] = _variables(text, typed)
    else:
        hits = _candidates(engine, text, line, typed)
    try:
        known = list(hits)
    except (DockmagicError, OSError):
        return typed, []
    start = typed.upper() if known and known[0].kind == "keyword" else typed
    unique = {hit.text: hit for hit in known if hit.text.startswith(start)}
    return typed, [unique[name] for name in sorted(unique)]


def _variables(text: str, typed: str) -> Iterator[Candidate]:
    before, behind = ("${", "}") if typed.startswith("${") else ("$", "")
    for name in (*_VARIABLE.findall(text), *_PREDEFINED):
        yield Candidate(f"{before}{name}{behind}", kind="variable")


def _candidates(engine: GetEngine, text: str, line: str, typed: str) -> Iterator[Candidate]:
    keyword, *words = line[: len(line) - len(typed)].split() or [""]
    keyword = keyword.upper()
    if keyword == "ONBUILD" and words:
        keyword, *words = [words[0].upper(), *words[1:]]
    elif not keyword or keyword == "ONBUILD":
        yield from _keywords()
        return
    is_first = all(word.startswith("--") for word in words)
    if typed.startswith("-"):
        if is_first:
            yield from _flags(engine, text, keyword, typed)
        return
    plain = [word for word in words if not word.startswith("--")]
    if keyword == "FROM":
        yield from _from(engine, text, plain)
    elif keyword in ("COPY", "ADD"):
        source = next((word[7:] for word in words if word.startswith("--from=")), "")
        yield from _copied(engine, text, source, plain, typed)
    elif keyword in ("WORKDIR", "VOLUME") or typed.startswith("/"):
        yield from files.inside(_listing(engine, text), typed if typed.startswith("/") else "/")
    elif keyword in ("RUN", "HEALTHCHECK") and is_first:
        if keyword == "HEALTHCHECK":
            yield from (Candidate("CMD", kind="keyword"), Candidate("NONE", kind="keyword"))
        else:
            yield from files.programs(_listing(engine, text))


def _keywords() -> Iterator[Candidate]:
    from dockmagic_runtime.dockerfile.instructions import KEYWORDS

    yield from (Candidate(keyword, kind="keyword") for keyword in KEYWORDS)


def _from(engine: GetEngine, text: str, plain: list[str]) -> Iterator[Candidate]:
    """An image or a stage before, then `AS`."""
    if plain:
        if len(plain) == 1:
            yield Candidate("AS", "name the stage", "keyword")
        return
    yield Candidate("scratch", "an empty image", "image")
    yield from objects.of_kind(engine, "image")
    yield from objects.of_kind(engine, "offer")
    yield from (Candidate(stage.name, stage.base, "stage") for stage in stages(text) if stage.name)


def _flags(engine: GetEngine, text: str, keyword: str, typed: str) -> Iterator[Candidate]:
    name, equals, _ = typed.rpartition("=")
    if not equals:
        for flag in _FLAGS.get(keyword, ()):
            yield Candidate(flag, kind="flag", is_open=flag.endswith("="))
    elif name == "--from":
        for number, stage in enumerate(stages(text)[:-1]):
            yield Candidate(f"--from={stage.name or number}", stage.base, "stage")
        yield from files.prefixed("--from=", objects.of_kind(engine, "image"))
    else:
        yield from (Candidate(f"{name}={value}") for value in _FLAG_VALUES.get(name, ()))
        if name == "--mount=type":
            yield Candidate("--mount=type=cache,target=", is_open=True)


def _copied(
    engine: GetEngine, text: str, source: str, plain: list[str], typed: str
) -> Iterator[Candidate]:
    """A path of the context, or of the stage or image behind `--from=`; then one in the image."""
    if source:
        listing = files.of_image(engine, _base(text, source))
        yield from files.inside(listing, typed if typed.startswith("/") else "/")
    elif not (plain and typed.startswith("/")):
        yield from files.of_host(typed)
    if plain:
        yield from files.inside(_listing(engine, text), typed if typed.startswith("/") else "/")


def _listing(engine: GetEngine, text: str) -> files.List:
    """Directories of the image that the stage at the cursor is built on."""
    known = stages(text)
    return files.of_image(engine, _base(text, known[-1].base) if known else "")


def _base(text: str, name: str) -> str:
    """The image behind a stage's name or number."""
    known = stages(text)
    for _ in known:
        by_name = {stage.name or str(number): stage.base for number, stage in enumerate(known)}
        by_name |= {str(number): stage.base for number, stage in enumerate(known)}
        if name not in by_name or by_name[name] == name:
            break
        name = by_name[name]
    return name
