from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic_runtime.containers.plan.health import check_for, inspect_check, merged
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, HealthCheck

IMAGE = HealthCheck(test=("CMD", "look"), interval=10, retries=4)


def record(health: HealthCheck | None, **changes: Any) -> Record:
    record = Record(
        id="a" * 64,
        name="web",
        image_id="",
        created=0,
        spec=ContainerSpec(image="x"),
        entrypoint=(),
        command=("true",),
        env=("A=b",),
        working_dir="/srv",
        user="1000",
        hostname="h",
        stop_signal="SIGTERM",
        labels={},
        exposed=(),
        mounts=(),
        layers=(),
        health=health,
    )
    return replace(record, **changes)


def test_without_a_word_the_image_decides() -> None:
    assert merged(None, IMAGE) is IMAGE
    assert merged(None, None) is None


def test_what_was_asked_for_wins_and_the_rest_is_the_images() -> None:
    assert merged(HealthCheck(interval=1), IMAGE) == replace(IMAGE, interval=1)
    other = HealthCheck(test=("CMD-SHELL", "x"))
    assert merged(other, IMAGE) == replace(IMAGE, test=("CMD-SHELL", "x"))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Unknown healthcheck type 'SHELL'"):
        merged(HealthCheck(test=("SHELL", "x")), None)


@pytest.mark.parametrize("health", [None, HealthCheck(test=("NONE",)), HealthCheck(interval=1)])
def test_nothing_is_checked_without_a_test(health: HealthCheck | None) -> None:
    assert check_for(record(health)) == {}


def test_a_check_runs_as_the_container_with_dockers_defaults() -> None:
    check = check_for(record(HealthCheck(test=("CMD", "look", "here"))))
    assert check["process"]["argv"] == ("look", "here")
    assert (check["process"]["user"], check["process"]["cwd"]) == ("1000", "/srv")
    assert check["process"]["env"][-1:] == ("A=b",)
    times = (check["interval"], check["timeout"], check["start_period"], check["start_interval"])
    assert (times, check["retries"]) == ((30, 30, 0, 5), 3)


@pytest.mark.parametrize(
    ("shell", "argv"),
    [((), ("/bin/sh", "-c", "a && b")), (("/bin/bash", "-ec"), ("/bin/bash", "-ec", "a && b"))],
)
def test_a_line_is_for_the_images_shell(shell: tuple[str, ...], argv: tuple[str, ...]) -> None:
    health = HealthCheck(test=("CMD-SHELL", "a && b"))
    assert check_for(record(health, shell=shell))["process"]["argv"] == argv


def test_inspect_says_only_what_was_said() -> None:
    assert inspect_check(HealthCheck(test=("CMD", "x"), start_period=1.5)) == {
        "Test": ["CMD", "x"],
        "StartPeriod": 1_500_000_000,
    }
