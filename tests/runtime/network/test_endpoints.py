"""The endpoint files: the containers on a network."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dockmagic_runtime.network import endpoints
from dockmagic_runtime.network.endpoints import NetworkEndpoint

DB = NetworkEndpoint(
    name="db",
    aliases=("database",),
    ipv4="172.18.0.2",
    short_id="a" * 12,
    hostname="a" * 12,
    network="back",
    internal=True,
    links={"cache": "c" * 64},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    endpoints.write(str(tmp_path), "n1", "a" * 64, DB)
    assert list(endpoints.of_network(str(tmp_path), "n1")) == [("a" * 64, DB)]
    assert list(endpoints.of_container(str(tmp_path), "a" * 64)) == [("n1", DB)]


def test_a_container_is_found_on_all_its_networks_and_on_no_other(tmp_path: Path) -> None:
    for network in ("n2", "n1"):
        endpoints.write(str(tmp_path), network, "a" * 64, DB)
    endpoints.write(str(tmp_path), "n3", "b" * 64, DB)
    networks = [network for network, _ in endpoints.of_container(str(tmp_path), "a" * 64)]
    assert networks == ["n1", "n2"]


def test_a_removed_endpoint_may_be_removed_again(tmp_path: Path) -> None:
    endpoints.write(str(tmp_path), "n1", "a" * 64, DB)
    endpoints.remove(str(tmp_path), "n1", "a" * 64)
    endpoints.remove(str(tmp_path), "n1", "a" * 64)
    endpoints.remove(str(tmp_path), "never", "a" * 64)
    assert list(endpoints.of_network(str(tmp_path), "n1")) == []


def test_a_half_written_file_is_no_endpoint(tmp_path: Path) -> None:
    endpoints.write(str(tmp_path), "n1", "a" * 64, DB)
    (tmp_path / "n1/endpoints" / f"{'b' * 64}.new").write_text('{"na')
    assert [container for container, _ in endpoints.of_network(str(tmp_path), "n1")] == ["a" * 64]


def test_fields_of_other_versions_do_no_harm(tmp_path: Path) -> None:
    directory = tmp_path / "n1/endpoints"
    directory.mkdir(parents=True)
    few = {"name": "db", "aliases": ["x"], "ipv4": "172.18.0.2", "ipv6": None, "colour": "blue"}
    (directory / f"{'a' * 64}.json").write_text(json.dumps(few))
    ((_, endpoint),) = endpoints.of_network(str(tmp_path), "n1")
    assert (endpoint.aliases, endpoint.ipv6, endpoint.short_id) == (("x",), "", "")


def test_every_coming_and_going_changes_the_time_of_the_common_directory(tmp_path: Path) -> None:
    def touched() -> bool:
        changed = tmp_path.stat().st_mtime_ns != 1
        os.utime(tmp_path, ns=(1, 1))
        return changed

    os.utime(tmp_path, ns=(1, 1))
    (tmp_path / "n1/endpoints").mkdir(parents=True)
    touched()
    endpoints.write(str(tmp_path), "n1", "a" * 64, DB)
    assert touched()
    endpoints.write(str(tmp_path), "n1", "a" * 64, DB)
    assert touched()
    endpoints.remove(str(tmp_path), "n1", "a" * 64)
    assert touched()
    endpoints.remove(str(tmp_path), "n1", "a" * 64)
    assert not touched()
