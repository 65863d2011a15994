"""Addresses: one container each, the lowest free first."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.network import rows
from dockmagic_runtime.network.ipam import leases
from dockmagic_runtime.network.ipam.leases import Lease, Network
from dockmagic_runtime.store.database import _SCHEMA, Database

DEFAULT = Network(
    id="n1",
    name="bridge",
    driver="bridge",
    bridge="dm0",
    subnet="172.17.0.0/16",
    gateway="172.17.0.1",
    created=1,
)
SMALL = Network(
    id="n2",
    name="small",
    driver="bridge",
    bridge="dm1",
    subnet="192.168.0.0/29",
    gateway="192.168.0.1",
    created=1,
)


def allocate(
    connection: sqlite3.Connection, network: Network, container_id: str, **asked: str
) -> str:
    return leases.allocate(connection, network, container_id, **asked).address


def fresh() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)
    for network in (DEFAULT, SMALL):
        rows.store(connection, network)
    return connection


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = fresh()
    yield connection
    connection.close()


def test_the_first_is_the_one_behind_the_gateway(connection: sqlite3.Connection) -> None:
    assert allocate(connection, DEFAULT, "a") == "172.17.0.2"
    assert allocate(connection, DEFAULT, "b") == "172.17.0.3"


def test_a_container_keeps_what_it_has(connection: sqlite3.Connection) -> None:
    allocate(connection, DEFAULT, "a")
    assert allocate(connection, DEFAULT, "a") == "172.17.0.2"
    assert leases.lease_of(connection, "n1", "a") == Lease("172.17.0.2")


def test_what_is_given_back_is_free_and_lowest_goes_first(connection: sqlite3.Connection) -> None:
    for name in "abcd":
        allocate(connection, DEFAULT, name)
    leases.release(connection, "c")
    leases.release(connection, "a")
    leases.release(connection, "a")
    assert [allocate(connection, DEFAULT, name) for name in "efg"] == [
        "172.17.0.2",
        "172.17.0.4",
        "172.17.0.6",
    ]


def test_a_full_network_says_so(connection: sqlite3.Connection) -> None:
    addresses = [allocate(connection, SMALL, str(number)) for number in range(5)]
    assert addresses == [f"192.168.0.{number}" for number in range(2, 7)]
    with pytest.raises(Conflict, match=r"address pools: small \(n2\)"):
        allocate(connection, SMALL, "one more")
    leases.release(connection, "2")
    assert allocate(connection, SMALL, "one more") == "192.168.0.4"


@pytest.mark.parametrize(
    "asked",
    [
        {"address": "192.168.0.0"},
        {"address": "192.168.0.7"},
        {"address": "192.168.0.1"},
        {"address6": "fd00:1::"},
        {"address6": "fd00:1::1"},
    ],
)
def test_the_ends_of_a_subnet_and_the_gateway_are_not_leased(
    connection: sqlite3.Connection, asked: dict[str, str]
) -> None:
    both = replace(SMALL, subnet6="fd00:1::/64", gateway6="fd00:1::1")
    with pytest.raises(Conflict, match="Address already in use"):
        allocate(connection, both, "a", **asked)


def test_networks_do_not_mix(connection: sqlite3.Connection) -> None:
    allocate(connection, DEFAULT, "a")
    assert allocate(connection, SMALL, "a") == "192.168.0.2"
    leases.release(connection, "a")
    assert leases.lease_of(connection, "n1", "a") is None
    assert leases.lease_of(connection, "n2", "a") is None


def test_leases_of_a_former_subnet_do_not_count(connection: sqlite3.Connection) -> None:
    allocate(connection, DEFAULT, "a")
    moved = Network(
        id="n1",
        name="bridge",
        driver="bridge",
        bridge="dm0",
        subnet="172.16.0.0/16",
        gateway="172.16.0.1",
        created=1,
    )
    rows.store(connection, moved)
    assert allocate(connection, moved, "b") == "172.16.0.2"
    assert allocate(connection, moved, "a") == "172.16.0.3"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_history_hands_out_the_lowest_address_that_is_free(
    history: list[tuple[bool, int]],
) -> None:
    connection = fresh()
    held: dict[str, int] = {}
    for takes, number in history:
        name = str(number)
        if not takes:
            leases.release(connection, name)
            held.pop(name, None)
            continue
        got = leases.number_of(allocate(connection, DEFAULT, name))
        first = leases.number_of("172.17.0.2")
        free = next(n for n in range(first, first + 99) if n not in held.values())
        assert got == held.get(name, free)
        held[name] = got
    connection.close()


def test_thousands_of_leases_are_no_burden() -> None:
    """The plan of the queries shows it: no scan of the whole table, no sorting."""
    connection = fresh()
    connection.executemany(
        "INSERT INTO leases VALUES ('n1', ?, ?, '')",
        [(str(n), leases.number_of("172.17.0.2") + n) for n in range(5000)],
    )
    leases.release(connection, "3000")
    plans: list[str] = []

    def explain(statement: str) -> None:
        if statement.startswith("SELECT"):
            plans.extend(row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}"))

    other = fresh()
    connection.set_trace_callback(explain)
    assert allocate(connection, DEFAULT, "new") == "172.17.11.186"
    assert plans
    assert all(plan.startswith(("SEARCH", "CORRELATED")) for plan in plans), plans
    connection.close()
    other.close()


def test_two_processes_never_get_the_same(tmp_path: Path) -> None:
    first, second = Database(tmp_path / "state.db"), Database(tmp_path / "state.db")
    with first.transaction() as connection:
        rows.store(connection, DEFAULT)
    got = []
    for number in range(10):
        with (first, second)[number % 2].transaction() as connection:
            got.append(allocate(connection, DEFAULT, str(number)))
    assert len(set(got)) == 10
    first.close()
    second.close()


# chosen addresses, ranges, IPv6 -----------------------------------------------------------------

OWN = replace(
    SMALL,
    id="n3",
    name="own",
    bridge="dm2",
    subnet="10.7.0.0/16",
    gateway="10.7.5.0",
    ip_range="10.7.5.0/29",
    reserved=(("router", "10.7.5.2"), ("router6", "fd00:7::2")),
    subnet6="fd00:7::/64",
    gateway6="fd00:7::1",
    has_own_subnet=True,
)


@pytest.fixture
def own(connection: sqlite3.Connection) -> sqlite3.Connection:
    rows.store(connection, OWN)
    return connection


def test_a_range_is_kept_to_and_gateway_and_reserved_addresses_are_spared(
    own: sqlite3.Connection,
) -> None:
    addresses = [allocate(own, OWN, str(number)) for number in range(6)]
    assert addresses == [f"10.7.5.{number}" for number in (1, 3, 4, 5, 6, 7)]
    with pytest.raises(Conflict, match="no available IPv4 addresses"):
        allocate(own, OWN, "one more")


def test_an_address_that_is_asked_for_is_given_once_and_outside_the_range_too(
    own: sqlite3.Connection,
) -> None:
    assert allocate(own, OWN, "a", address="10.7.9.9") == "10.7.9.9"
    with pytest.raises(Conflict, match="Address already in use"):
        allocate(own, OWN, "b", address="10.7.9.9")
    assert allocate(own, OWN, "a", address="10.7.9.9") == "10.7.9.9"
    assert allocate(own, OWN, "a", address="10.7.9.8") == "10.7.9.8"


@pytest.mark.parametrize("address", ["10.7.5.0", "10.7.5.2"])
def test_gateway_and_reserved_addresses_are_in_use(own: sqlite3.Connection, address: str) -> None:
    with pytest.raises(Conflict, match="Address already in use"):
        allocate(own, OWN, "a", address=address)


def test_ipv6_stands_beside_ipv4_and_steps_aside_for_what_is_taken(
    own: sqlite3.Connection,
) -> None:
    beside = Lease("10.7.5.1", "fd00:7::501")
    assert leases.allocate(own, OWN, "a") == beside
    taken = leases.allocate(own, OWN, "b", address6="fd00:7:0::503")
    assert taken.address6 == "fd00:7::503"
    assert leases.allocate(own, OWN, "c").address6 == "fd00:7::504"
    with pytest.raises(Conflict, match="Address already in use"):
        leases.allocate(own, OWN, "d", address6="fd00:7::2")


def test_one_network_is_given_back_and_the_other_kept(own: sqlite3.Connection) -> None:
    allocate(own, OWN, "a")
    allocate(own, SMALL, "a")
    leases.release(own, "a", OWN.id)
    assert rows.members(own, OWN.id) == []
    assert rows.members(own, SMALL.id) == ["a"]
