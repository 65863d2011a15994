"""Repositories by a word: Docker Hub's own API, and the catalogue of any other registry.

Source: Docker Hub API v1, `/v1/search`; OCI distribution spec 1.1, `_catalog`.
"""

from __future__ import annotations

from itertools import islice
from typing import Final
from urllib.parse import urlencode

import msgspec

from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.model.reference import DEFAULT_REGISTRY
from dockmagic_runtime.model.search import SearchResult
from dockmagic_runtime.registry.client import RegistryClient, clients_for
from dockmagic_runtime.registry.endpoint import RegistryEndpoint
from dockmagic_runtime.registry.error_response import error_message
from dockmagic_runtime.registry.text import printable

_INDEX: Final = "index.docker.io"
_LIMIT: Final = 4 << 20


class _Found(msgspec.Struct):
    name: str
    description: str | None = ""
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _Answer(msgspec.Struct):
    results: list[_Found]


def search(registry: str, term: str, limit: int) -> tuple[SearchResult, ...]:
    """At most `limit` repositories that have to do with `term`. Raises RegistryUnreachable."""
    if registry == DEFAULT_REGISTRY:
        with RegistryClient(RegistryEndpoint(registry=registry, host=_INDEX)) as client:
            return ask_index(client, term, limit)
    *mirrors, client = clients_for(registry)
    for mirror in mirrors:
        mirror.close()
    with client:
        return ask_catalogue(client, term, limit)


def ask_index(client: RegistryClient, term: str, limit: int) -> tuple[SearchResult, ...]:
    """Docker's index, in its order."""
    query = urlencode({"q": term, "n": limit})
    with client.send("GET", f"/v1/search?{query}", scopes=()) as response:
        if response.status != 200:
            raise RemoteFailed(
                f"Unexpected status code {response.status}: {error_message(response)}"
            )
        body = response.body(_LIMIT)
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.MsgspecError as error:
        raise RemoteFailed(f"{client.endpoint} sent no search results: {error}") from None
    return tuple(map(_result, answer.results[:limit]))


def _result(repository: _Found) -> SearchResult:
    return SearchResult(
        name=printable(repository.name),
        description=printable(repository.description or ""),
        stars=repository.star_count,
        is_official=repository.is_official,
        is_automated=repository.is_automated,
    )


def ask_catalogue(client: RegistryClient, term: str, limit: int) -> tuple[SearchResult, ...]:
    """Repositories of a registry with `term` in their names."""
    names = (name for name in client.catalog() if term in name)
    host = client.endpoint.registry
    return tuple(SearchResult(name=f"{host}/{printable(name)}") for name in islice(names, limit))
