"""Damaged files and rows of networks: one bad object never hides or stops the others."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, PortMapping
from dockmagic_runtime.model.network import Network, NetworkSpec, Pool

from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.usefixtures("own_subnets")]

GARBAGE = bytes(range(256)) * 2
LABELS = {"tier": "web"}
Ask = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def ask(engine: Engine, capfd: pytest.CaptureFixture[str]) -> Ask:
    """A command line; any exception other than the engine's own fails the test."""
    session = Session()
    session.use(engine)

    def ask(line: str) -> tuple[int, str, str]:
        code = main(line.split(), session)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return ask


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill(path: Path) -> None:
    path.write_bytes(GARBAGE)


def put_other_json(path: Path) -> None:
    path.write_text(json.dumps(["not", {"an": "object"}]))


def put_wrong_values(path: Path) -> None:
    values = {"bridge": "much-too-long-for-an-interface", "subnet": "ten", "name": 7}
    path.write_text(json.dumps(values))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def replace_by_directory(path: Path) -> None:
    remove(path)
    path.mkdir()


DAMAGES = (cut, empty, fill, put_other_json, put_wrong_values, remove, replace_by_directory)


def create(engine: Engine, name: str) -> Network:
    return engine.networks.create(NetworkSpec(name=name, labels=LABELS))


def start(engine: Engine, name: str, network: str, *ports: PortMapping) -> str:
    spec = ContainerSpec(
        image="busybox",
        name=name,
        command=("sh", "-c", "echo hello | nc -l -p 80; sleep 1000"),
        network=network,
        ports=ports,
        stop_timeout=0,
    )
    return engine.containers.run(spec, detach=True).id


def exercise(ask: Ask, name: str) -> None:
    """Every verb about networks; `front` is whole, the network `name` is not."""
    for line in (
        "network ls",
        "network ls -q --filter label=tier=web",
        f"network inspect {name}",
        f"network inspect front {name} bridge",
        "network draw",
        "network prune -f --filter label=nosuch",
        "system df",
        "system df -v",
        "info",
        "ps -a --filter network=front",
    ):
        code, out, err = ask(line)
        assert code == 0, (line, err)
        if line == "network ls":
            assert {"front", name} <= {row.split()[1] for row in out.splitlines()}
    assert ask("run --rm --network front busybox echo fine")[:2] == (0, "fine\n")
    assert ask("run --rm busybox echo fine")[:2] == (0, "fine\n")


@pytest.mark.parametrize("damage", DAMAGES)
def test_security_5_a_damaged_network_json_stops_nothing_and_is_written_anew(
    engine: Engine, ask: Ask, damage: Callable[[Path], None]
) -> None:
    create(engine, "front")
    bad = create(engine, "bad")
    path = Path(engine.data_root.networks / bad.id / "network.json")
    damage(path)
    exercise(ask, "bad")
    assert ask("run --rm --network bad busybox echo fine")[:2] == (0, "fine\n")
    engine._components.networks.sweep()
    if damage is not replace_by_directory:
        assert json.loads(path.read_text())["bridge"] == bad.bridge
    assert ask("network rm bad")[:2] == (0, "bad\n")
    assert not path.parent.exists()
    assert bad.bridge not in {name for _, name in socket.if_nameindex()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_security_5_a_network_without_a_row_is_swept_though_its_file_is_damaged(
    engine: Engine, ask: Ask, damage: Callable[[Path], None]
) -> None:
    create(engine, "front")
    bad = create(engine, "bad")
    directory = Path(engine.data_root.networks / bad.id)
    damage(directory / "network.json")
    with engine._components.database.transaction() as connection:
        connection.execute("DELETE FROM networks WHERE id = ?", (bad.id,))
    engine._components.networks.sweep()
    assert not directory.exists()
    assert bad.bridge not in {name for _, name in socket.if_nameindex()}
    assert ask("network inspect front")[0] == 0


def test_security_5_what_is_no_network_in_their_directory_is_left_alone(
    engine: Engine, ask: Ask
) -> None:
    front = create(engine, "front")
    stray = Path(engine.data_root.networks / "stray")
    stray.write_text("x")
    odd = Path(engine.data_root.networks / ("g" * 64))
    odd.mkdir()
    engine._components.networks.sweep()
    assert ask("run --rm --network front busybox echo fine")[:2] == (0, "fine\n")
    assert (stray.exists(), odd.exists()) == (True, True)
    assert ask("network rm front")[:2] == (0, "front\n")
    assert not Path(engine.data_root.networks / front.id).exists()


def damage_row(engine: Engine, network: Network, column: str, text: str) -> None:
    with engine._components.database.transaction() as connection:
        connection.execute(f"UPDATE networks SET {column} = ? WHERE id = ?", (text, network.id))


ROWS = [("details", "{"), ("details", "[1]"), ("details", '{"labels": 7}'), ("subnet", "ten")]


@pytest.mark.parametrize(("column", "text"), ROWS)
def test_security_5_a_damaged_row_is_restored_from_the_file(
    engine: Engine, ask: Ask, column: str, text: str
) -> None:
    create(engine, "front")
    bad = create(engine, "bad")
    damage_row(engine, bad, column, text)
    exercise(ask, "bad")
    assert engine.networks.get("bad") == bad
    assert ask("run --rm --network bad busybox echo fine")[:2] == (0, "fine\n")


@pytest.mark.parametrize(("column", "text"), ROWS)
def test_security_5_a_damaged_row_without_its_file_is_listed_and_can_be_removed(
    engine: Engine, ask: Ask, column: str, text: str
) -> None:
    create(engine, "front")
    bad = create(engine, "bad")
    damage_row(engine, bad, column, text)
    fill(Path(engine.data_root.networks / bad.id / "network.json"))
    exercise(ask, "bad")
    _, _, err = ask("network ls")
    assert "bad: its row is damaged: its addresses, labels and options are lost" in err
    code, _, err = ask("run --rm --network bad busybox echo fine")
    assert code == 125
    assert "network bad is damaged" in err
    assert "network rm bad" in err
    assert ask("network rm bad")[:2] == (0, "bad\n")
    assert bad.bridge not in {name for _, name in socket.if_nameindex()}
    again = create(engine, "bad")
    assert ask("run --rm --network bad busybox echo fine")[:2] == (0, "fine\n")
    assert again.subnet


def test_security_5_the_default_network_gets_another_subnet_when_its_row_is_damaged(
    engine: Engine, ask: Ask
) -> None:
    default = engine._components.networks.default()
    damage_row(engine, default, "details", "{")
    damage_row(engine, default, "subnet", "ten")
    fill(Path(engine.data_root.networks / default.id / "network.json"))
    code, out, err = ask("run --rm busybox ip route")
    assert code == 0, err
    assert "default via" in out
    assert engine.networks.get("bridge").damage == ""


@pytest.mark.parametrize("damage", [empty, fill, put_other_json, replace_by_directory])
def test_security_5_a_damaged_endpoint_hides_no_neighbours_name(
    engine: Engine, ask: Ask, damage: Callable[[Path], None]
) -> None:
    front = create(engine, "front")
    start(engine, "whole", "front")
    bad = start(engine, "bad", "front")
    damage(Path(engine.data_root.networks / front.id / "endpoints" / f"{bad}.json"))
    code, _, err = ask("run --rm --network front busybox ping -c 1 -w 5 whole")
    assert code == 0, err
    assert ask("network inspect front")[0] == 0
    assert ask("rm -f bad")[:2] == (0, "bad\n")


@pytest.mark.parametrize("damage", [empty, fill, put_other_json, remove])
@pytest.mark.parametrize("name", ["ports.json", "proxy.json"])
def test_security_5_damaged_records_of_ports_stop_no_other_container(
    engine: Engine, ask: Ask, damage: Callable[[Path], None], name: str
) -> None:
    bad = start(engine, "bad", "bridge", PortMapping(container_port=80))
    path = Path(engine.data_root.container_run(bad) / name)
    assert eventually(path.exists)
    damage(path)
    engine._components.networks.repair()
    assert ask("run --rm -p 80 busybox echo fine")[:2] == (0, "fine\n")
    assert ask("ps")[0] == 0
    assert ask("rm -f bad")[:2] == (0, "bad\n")


def test_security_5_lost_rows_are_restored_from_the_files(engine: Engine, ask: Ask) -> None:
    pool = Pool(subnet="10.213.9.0/24", gateway="10.213.9.7")
    spec = NetworkSpec(name="front", pools=(pool,), labels=LABELS, internal=True)
    front = engine.networks.create(spec)
    configuration = engine.networks.create(NetworkSpec(name="cfg", config_only=True, pools=(pool,)))
    bad = create(engine, "bad")
    fill(Path(engine.data_root.networks / bad.id / "network.json"))
    default = engine._components.networks.default()
    with engine._components.database.transaction() as connection:
        connection.execute("DELETE FROM networks")
    assert engine._components.networks.store.restore() == [bad.id]
    assert engine.networks.get("front") == front
    assert engine.networks.get("cfg") == configuration
    assert engine.networks.get("bridge") == default
    engine._components.networks.sweep()
    assert not Path(engine.data_root.networks / bad.id).exists()
    assert ask("run --rm --network front busybox echo fine")[:2] == (0, "fine\n")


@pytest.mark.parametrize("text", ["nameserver ten\n", "nameserver 300.1.1.1\n", "\x00\n"])
def test_a_host_with_an_odd_resolv_conf_starts_containers(
    engine: Engine, ask: Ask, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockmagic_runtime.network.etc import host_files

    path = tmp_path / "resolv.conf"
    path.write_text(text)
    monkeypatch.setattr(host_files, "RESOLV_CONF", str(path))
    assert ask("run --rm busybox echo fine")[:2] == (0, "fine\n")
    assert ask("network create front")[0] == 0
    monkeypatch.setattr(host_files, "RESOLV_CONF", str(tmp_path))  # a directory
    assert ask("run --rm --network front busybox echo fine")[:2] == (0, "fine\n")


def test_security_6_a_network_that_could_not_be_written_leaves_nothing(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockmagic_runtime.network import network_config

    engine._components.networks.default()
    before = set(os.listdir(engine.data_root.networks))

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(network_config, "write_file", full)
    code, _, err = ask("network create front")
    assert code == 1
    assert "no space left on device" in err.lower()
    assert set(os.listdir(engine.data_root.networks)) == before
    assert ask("network ls -q --filter name=front")[:2] == (0, "")
