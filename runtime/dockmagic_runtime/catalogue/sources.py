"""The host's package sources: apt's two formats read, the distribution's own ones picked.

Third parties' sources stay out of a stand-in: it promises the distribution's packages, and a
repository that does not answer would make every build fail. Pure. Formats: sources.list(5).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, field

# What may follow the code name in a suite of the distribution itself
_POCKETS: Final = ("", "-updates", "-security", "/updates", "-backports", "-proposed-updates")
_SYMBOLIC: Final = ("stable", "oldstable", "testing", "unstable", "sid")
_ONE_LINE_NAMES: Final = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_FIELD = re.compile(r"([A-Za-z0-9-]+):[ \t]*(.*)")


class PackageSource(Struct, frozen=True, kw_only=True):
    """One `deb` entry. `options` are deb822 fields (`Signed-By`, `Trusted`, …), as written."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)

    def deb822(self, *, credentials: bool = True) -> str:
        """As a stanza of a `.sources` file; without credentials it may be kept in an image."""
        uris = " ".join(self.uris)
        lines = [
            "Types: deb",
            f"URIs: {uris if credentials else without_credentials(uris)}",
            f"Suites: {' '.join(self.suites)}",
            *([f"Components: {' '.join(self.components)}"] if self.components else []),
            *(f"{name}: {value}" for name, value in self.options.items()),
        ]
        return "\n".join(lines) + "\n"

    @property
    def keyrings(self) -> tuple[str, ...]:
        """Files that `Signed-By` names; a key may stand there in full instead."""
        words = re.split(r"[\s,]+", self.options.get("Signed-By", ""))
        return tuple(word for word in words if word.startswith("/"))


def without_credentials(text: str) -> str:
    """`text` with `user:password@` taken out of its URLs."""
    return _CREDENTIALS.sub("", text)


def parse_one_line(text: str) -> Iterator[PackageSource]:
    """The `deb` lines of a `sources.list`. What apt would not understand is passed over."""
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if not words.startswith("deb ") and not words.startswith("deb\t"):
            continue
        options, rest = _split_options(words[3:].strip())
        uri, suite, *components = [*rest.split(), "", ""]
        if uri and suite:
            yield PackageSource(
                uris=(uri,),
                suites=(suite,),
                components=tuple(filter(None, components)),
                options=options,
            )


def _split_options(rest: str) -> tuple[dict[str, str], str]:
    if not rest.startswith("["):
        return {}, rest
    inside, _, rest = rest[1:].partition("]")
    options: dict[str, str] = {}
    for word in shlex.split(inside):
        name, _, value = word.partition("=")
        suffix = "".join(c for c in name[-1:] if c in "+-")
        key = name.removesuffix(suffix)
        key = _ONE_LINE_NAMES.get(key, key.title())
        operation = {"+": "-Add", "-": "-Remove"}.get(suffix, "")
        options[key + operation] = value.replace(",", " ")
    return options, rest


def parse_deb822(text: str) -> Iterator[PackageSource]:
    """The enabled `deb` stanzas of a `.sources` file."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        types = fields.pop("types", ("", ""))[1].split()
        enabled = fields.pop("enabled", ("", "yes"))[1].strip().lower()
        if "deb" not in types or enabled in ("no", "false", "without", "off", "disable", "0"):
            continue
        uris, suites, components = (
            tuple(fields.pop(name, ("", ""))[1].split())
            for name in ("uris", "suites", "components")
        )
        if uris and suites:
            yield PackageSource(
                uris=uris, suites=suites, components=components, options=dict(fields.values())
            )


def _fields(stanza: str) -> dict[str, tuple[str, str]]:
    """Fields by lower-case name, with the name as written; continuation lines are kept."""
    fields: dict[str, tuple[str, str]] = {}
    current = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t") and current:
            name, value = fields[current]
            fields[current] = (name, f"{value}\n{line}")
        elif match := _FIELD.fullmatch(line):
            current = match[1].lower()
            fields[current] = (match[1], match[2].rstrip())
    return fields


def distribution_sources(
    sources: Iterable[PackageSource], codename: str, foreign: frozenset[tuple[str, str]]
) -> tuple[PackageSource, ...]:
    """Those of the distribution itself, cut down to what a container can use.

    `foreign` are (URI, suite) pairs that are known to belong to another distribution. Media and
    directories of the host are left out: a container cannot reach them.
    """
    return tuple(
        own for source in sources if (own := _own_part(source, codename, foreign)) is not None
    )


def _own_part(
    source: PackageSource, codename: str, foreign: frozenset[tuple[str, str]]
) -> PackageSource | None:
    uris = tuple(uri for uri in source.uris if not uri.startswith(("cdrom:", "file:", "copy:")))
    suites = tuple(
        suite
        for suite in source.suites
        if is_own_suite(suite, codename)
        and not any((uri.rstrip("/"), suite) in foreign for uri in uris)
    )
    if not uris or not suites or "main" not in source.components:
        return None
    return PackageSource(
        uris=uris, suites=suites, components=source.components, options=source.options
    )


def is_own_suite(suite: str, codename: str) -> bool:
    """Whether `suite` is `codename`, a symbolic name of a release, or a pocket of one."""
    names = filter(None, (codename, *_SYMBOLIC))
    return any(suite == name + pocket for name in names for pocket in _POCKETS)


def main_suite(sources: Iterable[PackageSource], codename: str) -> str:
    """The suite to begin a root from: the first that is no pocket. Empty when there is none."""
    names = {codename, *_SYMBOLIC}
    return next((suite for source in sources for suite in source.suites if suite in names), "")
