"""Lists: `--format`, `--quiet` and limits, as Docker's client shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.output.result import Chunk, Result

from .fake_engine import FakeEngine


def docker(engine: FakeEngine, *words: str) -> tuple[str, str]:
    """What a line writes to stdout and to stderr."""
    outcome = commands.execute(engine, commands.parse(words))
    events = [outcome] if isinstance(outcome, Result) else list(outcome)
    chunks: list[Chunk] = []
    for event in events:
        assert isinstance(event, (Chunk, Result))
        chunks += [event] if isinstance(event, Chunk) else event.chunks()
    out, err = (
        b"".join(chunk.data for chunk in chunks if chunk.stream == stream).decode()
        for stream in ("stdout", "stderr")
    )
    return out, err


@pytest.fixture
def busy(engine: FakeEngine) -> FakeEngine:
    for line in ("run -d --name web -l a=b httpd", "run -d --name worker httpd"):
        list(commands.execute(engine, commands.parse(line.split())))
    return engine


def test_command_line_ps_as_json_has_platform_and_size(busy: FakeEngine) -> None:
    out, _ = docker(busy, "ps", "--format", "json")
    row = json.loads(out.splitlines()[0])
    assert list(row) == sorted(
        "Command CreatedAt ID Image Labels LocalVolumes Mounts Names Networks Platform Ports "
        "RunningFor Size State Status".split()
    )
    assert row["Platform"] is None
    assert row["Size"].endswith(")")
    assert docker(busy, "ps", "--format", "{{.Platform}}")[0].splitlines()[0] == "<nil>"


def test_command_line_quiet_wins_over_a_format_with_a_warning(busy: FakeEngine) -> None:
    out, err = docker(busy, "ps", "-q", "--format", "{{.Names}}")
    assert [len(line) for line in out.splitlines()] == [12, 12]
    assert err == "WARNING: Ignoring custom format, because both --format and --quiet are set.\n"
    assert docker(busy, "ps", "-q")[1] == ""


@pytest.mark.parametrize(
    ("flags", "count"),
    [("-n 0 -a", 2), ("-n 0", 2), ("-n -3", 2), ("-n 1", 1), ("-l", 1), ("-l -n 2", 2)],
)
def test_command_line_a_limit_that_is_not_above_zero_is_none(
    busy: FakeEngine, flags: str, count: int
) -> None:
    assert len(docker(busy, "ps", "-q", *flags.split())[0].splitlines()) == count


def test_command_line_raw_is_a_line_for_each_field(busy: FakeEngine) -> None:
    first = docker(busy, "ps", "--format", "raw")[0].split("\n\n")[0].splitlines()
    assert [line.partition(":")[0] for line in first] == (
        "container_id image command created_at state status names labels ports".split()
    )
    assert first[1] == "image: httpd"
    lines = docker(busy, "images", "--format", "raw")[0].splitlines()
    assert [line.partition(":")[0] for line in lines[:6]] == [
        "repository", "tag", "image_id", "created_at", "virtual_size", "",
    ]  # fmt: skip
    assert docker(busy, "images", "-q", "--format", "raw")[0].startswith("image_id: ")
    assert docker(busy, "volume", "ls", "--format", "raw") == ("", "")


def test_command_line_a_wrong_field_is_an_error_without_containers_too(engine: FakeEngine) -> None:
    with pytest.raises(Exception, match=r"in type \*formatter\.ContainerContext"):
        docker(engine, "ps", "--format", "{{.Nope}}")


def test_command_line_disk_usage_in_detail_has_templates(
    busy: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockmagic_runtime.model.usage import ContainerUsage, DiskUsage, VolumeUsage
    from dockmagic_runtime.model.volume import Volume

    volume = Volume(name="vol", mountpoint="/v", created=1.0, labels={"a": "<b>"})
    usage = DiskUsage(
        layers=1,
        images=(),
        containers=tuple(
            ContainerUsage(container=c, size=5, volumes=0) for c in busy.containers.list()
        ),
        volumes=(VolumeUsage(volume=volume, size=5, links=1),),
        build_cache=(),
    )
    monkeypatch.setattr(busy.system, "df", lambda: usage)
    assert docker(busy, "system", "df", "-v", "--format", "{{json .Volumes}}")[0] == (
        '[{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"a=\\u003cb\\u003e",'
        '"Links":"1","Mountpoint":"/v","Name":"vol","Scope":"local","Size":"5B","Status":"N/A"}]\n'
    )
    out, _ = docker(busy, "system", "df", "-v", "--format", "json")
    whole: dict[str, Any] = json.loads(out)
    assert list(whole) == ["Images", "Containers", "Volumes", "BuildCache"]
    assert len(whole["Containers"][0]["ID"]) == 64
    form = "{{range .Containers}}{{.Names}} {{end}}{{len .BuildCache}}"
    assert docker(busy, "system", "df", "-v", "--format", form)[0] == "worker web 0\n"


def test_command_line_6_a_name_given_twice_is_answered_twice(busy: FakeEngine) -> None:
    assert docker(busy, "wait", "web", "web") == ("0\n0\n", "")
    out, _ = docker(busy, "inspect", "-f", "{{.Name}}", "web", "web")
    assert len(set(out.splitlines())) == 1
    assert len(out.splitlines()) == 2
