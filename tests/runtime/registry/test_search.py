"""Searches: a registry's catalogue, and the answers of Docker's index."""

from __future__ import annotations

import json

import pytest

from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.model.reference import split_term
from dockmagic_runtime.model.search import SearchResult
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.search import ask_catalogue, ask_index, search
from dockmagic_runtime.testing.registry import FakeRegistry, Fault

INDEX = {
    "results": [
        {"name": "httpd", "description": "The\nserver", "star_count": 9, "is_official": True},
        {"name": "x/httpd", "description": None, "star_count": 1},
    ]
}


def test_a_registry_is_searched_by_its_catalogue(fake: FakeRegistry) -> None:
    for name in ("team/web", "web", "db"):
        fake.add_image(name, "1", (bytes(1024),))
    names = [result.name for result in search(fake.host, "web", 25)]
    assert names == [f"{fake.host}/team/web", f"{fake.host}/web"]


def test_a_limit_holds(fake: FakeRegistry, client: RegistryClient) -> None:
    for number in range(5):
        fake.add_image(f"app{number}", "1", (bytes(1024),))
    assert len(ask_catalogue(client, "app", 3)) == 3


def test_dockers_index(fake: FakeRegistry, client: RegistryClient) -> None:
    fake.fail(Fault(match="/v1/search", status=200, body=json.dumps(INDEX).encode()))
    assert ask_index(client, "a b", 25) == (
        SearchResult(name="httpd", description="The server", stars=9, is_official=True),
        SearchResult(name="x/httpd", stars=1),
    )
    assert fake.requests("/v1/search")[0].path == "/v1/search?q=a+b&n=25"


@pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"[]"), (200, b"<html>")])
def test_an_index_that_answers_something_else(
    fake: FakeRegistry, client: RegistryClient, status: int, body: bytes
) -> None:
    fake.fail(Fault(match="/v1/search", status=status, body=body))
    with pytest.raises(RemoteFailed):
        ask_index(client, "a", 25)


@pytest.mark.parametrize(
    ("term", "split"),
    [
        ("httpd", ("docker.io", "httpd")),
        ("user/app", ("docker.io", "user/app")),
        ("localhost:5000/app", ("localhost:5000", "app")),
        ("localhost/", ("localhost", "")),
    ],
)
def test_a_term_may_begin_with_a_registry(term: str, split: tuple[str, str]) -> None:
    assert split_term(term) == split
