"""The variables of `--link`, exactly Docker's."""

from __future__ import annotations

import pytest

from dockmagic_runtime.containers.lifecycle.links import Linked, environment
from dockmagic_runtime.containers.record import process_environment


def link(*ports: tuple[int, str], alias: str = "my-db", env: tuple[str, ...] = ()) -> Linked:
    return Linked(
        name=f"/web/{alias}",
        alias=alias,
        address="172.17.0.2",
        hostname="0123456789ab",
        other="db",
        ports=ports,
        env=env,
    )


def test_one_port() -> None:
    linked = link((3306, "tcp"), env=("MYSQL_USER=me", "PATH=/bin", "HOME=/", "EMPTY=", "odd"))
    assert list(linked.variables()) == [
        "MY_DB_PORT=tcp://172.17.0.2:3306",
        "MY_DB_PORT_3306_TCP=tcp://172.17.0.2:3306",
        "MY_DB_PORT_3306_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_3306_TCP_PORT=3306",
        "MY_DB_PORT_3306_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_MYSQL_USER=me",
        "MY_DB_ENV_EMPTY=",
    ]


def test_without_ports_only_the_name_is_told() -> None:
    assert list(link().variables()) == ["MY_DB_NAME=/web/my-db"]


def test_three_neighbours_are_told_as_a_range_too_and_two_are_not() -> None:
    three = list(link((6379, "tcp"), (6380, "tcp"), (6381, "tcp"), alias="r").variables())
    assert three[:7] == [
        "R_PORT=tcp://172.17.0.2:6379",
        "R_PORT_6379_TCP_START=tcp://172.17.0.2:6379",
        "R_PORT_6379_TCP_ADDR=172.17.0.2",
        "R_PORT_6379_TCP_PROTO=tcp",
        "R_PORT_6379_TCP_PORT_START=6379",
        "R_PORT_6379_TCP_END=tcp://172.17.0.2:6381",
        "R_PORT_6379_TCP_PORT_END=6381",
    ]
    two = list(link((90, "udp"), (6379, "tcp"), (6380, "tcp"), alias="r").variables())
    assert not [name for name in two if "START" in name]


@pytest.mark.parametrize(
    ("alias", "expected"),
    [("store", "store 0123456789ab db"), ("db", "db 0123456789ab")],
)
def test_the_hosts_line_has_every_name_once(alias: str, expected: str) -> None:
    assert link(alias=alias).hosts_line == ("172.17.0.2", expected)


def test_the_containers_own_variables_win() -> None:
    variables = environment([link((80, "tcp"), alias="db")], ("A=1", "DB_NAME=mine", "DB_PORT"))
    merged = process_environment("web", variables, tty=False)
    assert list(merged)[:2] == ["PATH", "HOSTNAME"]
    assert list(merged.items())[-2:] == [("DB_NAME", "mine"), ("A", "1")]
    assert "DB_PORT" not in merged
    assert merged["DB_PORT_80_TCP_PROTO"] == "tcp"


def test_an_end_of_another_protocol_is_told_under_that() -> None:
    variables = list(
        link(*((n, p) for n in (1, 2, 3) for p in ("tcp", "udp")), alias="x").variables()
    )
    assert "X_PORT_1_UDP_END=udp://172.17.0.2:3" in variables
    assert "X_PORT_1_TCP_PORT_START=1" in variables


def test_letters_of_an_alias_become_capitals_one_for_one() -> None:
    assert list(link(alias="größe.1-a").variables()) == ["GRÖßE.1_A_NAME=/web/größe.1-a"]
