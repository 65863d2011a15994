"""Image references by Docker's rules: `[host[:port]/]path[:tag][@digest]`, and digests.

The first component is a host if it has a dot, a colon or a capital, or is `localhost`. Missing
parts become `docker.io`, `library/` and `latest`. A digest is checked here before any code makes a
path of it. Grammar: distribution/reference, reference.go and normalize.go.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput

DEFAULT_REGISTRY: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_NAME_LIMIT: Final = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}"
_DIGEST = r"sha256:[a-f0-9]{64}"
_HEX = r"[a-f0-9]{64}"


def is_digest(text: str) -> bool:
    """Whether `text` is a sha256 digest in its one canonical spelling."""
    return re.fullmatch(_DIGEST, text) is not None


def require_digest(text: str) -> str:
    """`text`, if it is a sha256 digest: to be asked before a digest becomes part of a path."""
    if re.fullmatch(_DIGEST, text) is None:
        raise InvalidInput(f"invalid digest: {text!r} is not sha256: and 64 hexadecimal digits")
    return text


def digest_hex(digest: str) -> str:
    """The hexadecimal part of a checked digest: a file name."""
    return require_digest(digest)[7:]


class ImageReference(Struct, frozen=True):
    """A name for an image. `tag` is empty only if there is a `digest`."""

    registry: str
    repository: str
    tag: str = DEFAULT_TAG
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """What `text` names, with Docker's defaults. Raises InvalidInput in Docker's words."""
        return _parse(text)

    @property
    def name(self) -> str:
        """Without tag and digest: `docker.io/library/httpd`."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """The name as people write it: `httpd`, `user/app`, `localhost:5000/app`."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        short = self.repository.removeprefix("library/")
        # docker.io/library/a/b would come back as docker.io/a/b
        return self.repository if "/" in short else short

    @property
    def familiar(self) -> str:
        """As Docker shows it: `httpd:latest`."""
        return self.familiar_name + self._suffix

    @property
    def canonical(self) -> str:
        """In full: `docker.io/library/httpd:latest`."""
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def __str__(self) -> str:
        return self.familiar


@lru_cache(maxsize=1024)
def _parse(text: str) -> ImageReference:
    if re.fullmatch(_HEX, text):
        raise InvalidInput(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    rest, at, digest = text.partition("@")
    registry, rest = _split_registry(rest)
    repository, colon, tag = rest.partition(":")
    _check_name(text, registry, repository)
    if colon and not re.fullmatch(_TAG, tag):
        raise _invalid(text)
    if at:
        _check_digest(text, digest)
    return ImageReference(registry, repository, tag or ("" if at else DEFAULT_TAG), digest)


def split_term(term: str) -> tuple[str, str]:
    """The registry that a search asks, and the word it asks for; the word may be empty."""
    first, slash, rest = term.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return (first, rest) if is_host and first != DEFAULT_REGISTRY else (DEFAULT_REGISTRY, term)


def _split_registry(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        first, rest = DEFAULT_REGISTRY, text
    if first == "index.docker.io":
        first = DEFAULT_REGISTRY
    if first == DEFAULT_REGISTRY and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _check_name(text: str, registry: str, repository: str) -> None:
    if repository != repository.lower():
        raise InvalidInput(
            f"invalid reference format: repository name ({repository}) must be lowercase"
        )
    if not re.fullmatch(_REGISTRY, registry) or not re.fullmatch(_REPOSITORY, repository):
        raise _invalid(text)
    if len(repository) > _NAME_LIMIT:
        raise InvalidInput(f"repository name must not be more than {_NAME_LIMIT} characters")


def _check_digest(text: str, digest: str) -> None:
    if re.fullmatch(_DIGEST, digest):
        return
    algorithm, _, value = digest.partition(":")
    if algorithm == "sha256" and re.fullmatch(r"[a-fA-F0-9]{32,}", value):
        raise InvalidInput("invalid checksum digest length")
    raise _invalid(text)


def _invalid(text: str) -> InvalidInput:
    return InvalidInput("invalid reference format", hint=f"in {text!r}" if text else "it is empty")
