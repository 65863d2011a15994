"""A state file that is damaged: what can be read of it is read, the rest is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.model.container import Status
from dockmagic_runtime.store import locks
from dockmagic_runtime.supervisor import state
from dockmagic_runtime.supervisor.state import State

ENDPOINT = {
    "name": "bridge", "endpoint_id": "e", "interface": "eth0", "veth": "v", "mac_address": "m",
    "ip_address": "172.17.0.2", "prefix_length": 16, "gateway": "g", "ip6_address": "",
    "prefix_length6": 0, "gateway6": "",
}  # fmt: skip
WHOLE = State(
    status="exited",
    exit_code=3,
    started=10.0,
    finished=11.0,
    restart_count=2,
    networks={"id": ENDPOINT},
    ports=(("0.0.0.0", 8080, 80, "tcp"),),
)


def written(directory: Path, **changes: Any) -> State:
    """The state of a file with these values; a value of `...` is left out."""
    state.write(str(directory), WHOLE)
    values = {**json.loads((directory / "state.json").read_bytes()), **changes}
    kept = {name: value for name, value in values.items() if value is not ...}
    (directory / "state.json").write_text(json.dumps(kept))
    return state.load(str(directory))


def test_a_whole_file_is_not_damaged(tmp_path: Path) -> None:
    assert written(tmp_path) == WHOLE


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_security_11_any_bytes_are_a_state(tmp_path_factory: Any, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / "state.json").write_bytes(data)
    now = state.read(str(directory), str(directory))
    assert (now.status, now.exit_code) == ("exited", 255)
    assert now.damage.startswith("state.json is")


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(State.__struct_fields__),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
            ),
            max_leaves=4,
        ),
    )
)
def test_security_11_any_values_are_a_state(tmp_path_factory: Any, values: dict[str, Any]) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / "state.json").write_text(json.dumps(values))
    now = state.read(str(directory), str(directory))
    Status(now.status)
    for endpoint in now.networks.values():
        assert endpoint.keys() >= ENDPOINT.keys()


@pytest.mark.parametrize("size", [0, 1, 20, 100])
def test_security_11_a_file_that_was_cut_says_so(tmp_path: Path, size: int) -> None:
    state.write(str(tmp_path), WHOLE)
    os.truncate(tmp_path / "state.json", size)
    damage = state.load(str(tmp_path)).damage
    assert damage == (
        f"state.json is {'damaged' if size else 'empty'}: when it ran and how it ended are lost"
    )


def test_security_5_a_field_that_is_missing_has_its_default(tmp_path: Path) -> None:
    now = written(tmp_path, ports=..., health=...)
    assert (now.status, now.exit_code, now.ports, now.damage) == ("exited", 3, (), "")


def test_security_5_without_its_status_a_container_has_ended(tmp_path: Path) -> None:
    now = written(tmp_path, status=...)
    assert (now.status, now.exit_code, now.started) == ("exited", 3, 10.0)
    assert now.damage == "state.json is damaged: its status can not be read"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "flying"), ("pid", -1), ("pid", "7"), ("started", 1e300), ("finished", -5),
        ("ports", [["x"]]), ("networks", {"id": {"name": "bridge"}}), ("networks", []),
        ("oom_killed", 3),
    ],
)  # fmt: skip
def test_security_5_a_field_of_another_kind_costs_itself_only(
    tmp_path: Path, field: str, value: Any
) -> None:
    now = written(tmp_path, **{field: value})
    assert now.damage == f"state.json is damaged: its {field} can not be read"
    assert now.restart_count == 2
    assert getattr(now, field) == ("exited" if field == "status" else getattr(State(), field))


def test_security_11_a_missing_file_of_a_container_that_ran_is_damage(tmp_path: Path) -> None:
    assert state.load(str(tmp_path)) == State()
    (tmp_path / "explain.json").touch()
    assert state.load(str(tmp_path)).damage.startswith("state.json is missing")
    assert state.load(str(tmp_path / "gone")).damage.startswith("its directory is missing")


def test_security_11_a_supervisor_that_lives_says_that_it_runs(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(b"")
    with locks.held(str(tmp_path / "lock")):
        now = state.read(str(tmp_path), str(tmp_path))
    assert (now.status, now.lost) == ("running", False)


def test_security_11_the_next_change_writes_what_is_known_and_keeps_the_message(
    tmp_path: Path,
) -> None:
    (tmp_path / "state.json").write_bytes(b"{")
    state.change(str(tmp_path), {"status": "running", "pid": 7}, health="healthy")
    now = state.load(str(tmp_path))
    assert (now.status, now.pid, now.health, now.damage) == ("running", 7, "healthy", "")
    assert "when it ran and how it ended are lost" in now.error


def test_security_11_the_last_state_is_on_the_disk_before_it_replaces_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_sync(fd: int) -> None:
        calls.append("sync")
        fsync(fd)

    def note_rename(old: str, new: str) -> None:
        calls.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    state.write(str(tmp_path), WHOLE, sync=True)
    assert calls[:2] == ["sync", "rename"]
