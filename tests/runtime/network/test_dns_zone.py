"""What one container knows of its neighbours, read from files that change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime.network import endpoints
from dockmagic_runtime.network.dns.zone import Addresses, Snapshot, Zone
from dockmagic_runtime.network.endpoints import NetworkEndpoint

ME, DB, WEB = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def networks(tmp_path: Path) -> str:
    for network, container, name, address in (
        ("n1", ME, "me", "172.18.0.2"),
        ("n1", DB, "db", "172.18.0.3"),
        ("n2", WEB, "web", "172.19.0.3"),
    ):
        plug(str(tmp_path), network, container, name, address)
    return str(tmp_path)


def plug(networks: str, network: str, container: str, name: str, address: str = "") -> None:
    endpoint = NetworkEndpoint(name=name, ipv4=address, network=f"net-{network}")
    endpoints.write(networks, network, container, endpoint)


def found(zone: Zone, name: str) -> tuple[str, ...]:
    addresses = zone.snapshot().find(name)
    return addresses.ipv4 if addresses else ()


def test_neighbours_are_known_and_strangers_are_not(networks: str) -> None:
    zone = Zone(networks, ME)
    assert found(zone, "db") == ("172.18.0.3",)
    assert found(zone, "me") == ("172.18.0.2",)
    assert found(zone, "web") == ()
    assert found(zone, "web.net-n2") == ()


def test_added_and_removed_endpoints_are_seen_at_once(networks: str) -> None:
    zone = Zone(networks, ME)
    for number in range(50):
        plug(networks, "n1", WEB, f"web{number}", f"172.18.1.{number}")
        assert found(zone, f"web{number}") == (f"172.18.1.{number}",)
        assert number == 0 or found(zone, f"web{number - 1}") == ()
        endpoints.remove(networks, "n1", WEB)
        assert found(zone, f"web{number}") == ()


def test_plugged_in_elsewhere_too_it_knows_both_networks(networks: str) -> None:
    zone = Zone(networks, ME)
    assert found(zone, "web") == ()
    plug(networks, "n2", ME, "me", "172.19.0.2")
    assert found(zone, "web") == ("172.19.0.3",)
    assert found(zone, "db") == ("172.18.0.3",)
    endpoints.remove(networks, "n1", ME)
    assert (found(zone, "db"), found(zone, "web")) == ((), ("172.19.0.3",))
    endpoints.remove(networks, "n2", ME)
    assert zone.snapshot() == Snapshot()


def test_the_first_network_by_name_answers(networks: str) -> None:
    plug(networks, "n2", ME, "me", "172.19.0.2")
    plug(networks, "n2", WEB, "db", "172.19.0.9")
    zone = Zone(networks, ME)
    assert found(zone, "db") == ("172.18.0.3",)
    assert found(zone, "db.net-n2") == ("172.19.0.9",)


def test_files_are_read_again_only_when_something_has_changed(
    networks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10**18
    for path in (networks, f"{networks}/n1/endpoints"):
        os.utime(path, ns=(now, now))
    zone = Zone(networks, ME, now=lambda: now + 10**9)
    assert found(zone, "db") == ("172.18.0.3",)
    monkeypatch.setattr(endpoints, "of_network", lambda *_: pytest.fail("read again"))
    assert found(zone, "db") == ("172.18.0.3",)


def test_when_one_of_many_changes_only_its_file_is_read(
    networks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Path(networks, "n1/endpoints")
    for path in (*files.iterdir(), files, Path(networks)):
        os.utime(path, ns=(10**18, 10**18))
    zone = Zone(networks, ME)
    zone.snapshot()
    read: list[str] = []
    real = endpoints.read

    def noting(path: str) -> NetworkEndpoint | None:
        read.append(path)
        return real(path)

    plug(networks, "n1", WEB, "web", "172.18.0.4")
    monkeypatch.setattr(endpoints, "read", noting)
    assert found(zone, "web") == ("172.18.0.4",)
    assert found(zone, "db") == ("172.18.0.3",)
    assert {Path(path).stem for path in read} <= {WEB, ME}  # its own is looked for everywhere


def test_what_was_read_in_the_moment_of_a_change_is_not_trusted(networks: str) -> None:
    now = 10**18
    paths = (networks, f"{networks}/n1/endpoints")
    for path in paths:
        os.utime(path, ns=(now, now))
    zone = Zone(networks, ME, now=lambda: now + 10**6)
    assert found(zone, "late") == ()
    plug(networks, "n1", WEB, "late", "172.18.0.4")
    for path in paths:  # the clock that stamps directories has not moved on
        os.utime(path, ns=(now, now))
    assert found(zone, "late") == ("172.18.0.4",)


@pytest.mark.parametrize(("internal", "expected"), [((True,), False), ((True, False), True)])
def test_one_network_that_leads_outside_is_enough(
    tmp_path: Path, internal: tuple[bool, ...], expected: bool
) -> None:
    for number, is_internal in enumerate(internal):
        endpoints.write(
            str(tmp_path), f"n{number}", ME, NetworkEndpoint(name="me", internal=is_internal)
        )
    assert Zone(str(tmp_path), ME).snapshot().may_forward is expected


def test_on_no_network_nothing_is_known_or_asked(tmp_path: Path) -> None:
    known = Zone(str(tmp_path / "none yet"), ME).snapshot()
    assert known == Snapshot()
    assert not known.may_forward


def test_addresses_of_both_families_are_found(tmp_path: Path) -> None:
    endpoint = NetworkEndpoint(name="me", ipv4="172.18.0.2", ipv6="FD00::0:2", network="net")
    endpoints.write(str(tmp_path), "n1", ME, endpoint)
    known = Zone(str(tmp_path), ME).snapshot()
    assert known.find("me") == Addresses(ipv4=("172.18.0.2",), ipv6=("FD00::0:2",))
    assert known.name_of("fd00::2") == known.name_of("172.18.0.2") == "me.net"
