"""attach, restart, update, events, and what a notebook does about terminals and endless streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.container.foreground import watch
from dockmagic.commands.output.result import Attached
from dockmagic.commands.system.events import Events
from dockmagic.errors import MagicError
from dockmagic_runtime.errors import Conflict, DockmagicError
from dockmagic_runtime.model.container import Resources, RestartPolicy, Status


def attached(engine: Any, line: str) -> Attached:
    (event,) = commands.execute(engine, commands.parse(line.split()))
    assert isinstance(event, Attached)
    return event


# ------------------------------------------------------------------------ attach


def test_attach_joins_what_runs(run: Any, engine: Any) -> None:
    run("%docker run -dit --name web --detach-keys ctrl-x httpd")
    joined = attached(engine, "attach web")
    assert (joined.tty, joined.stdin, joined.joined) == (True, True, True)
    assert joined.detach_keys == "ctrl-x"
    assert not attached(engine, "attach --no-stdin web").stdin
    assert attached(engine, "attach --detach-keys a,b web").detach_keys == "a,b"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (Status.EXITED, "You cannot attach to a stopped container, start it first"),
        (Status.PAUSED, "You cannot attach to a paused container, unpause it first"),
        (
            Status.RESTARTING,
            "You cannot attach to a restarting container, wait until it is running",
        ),
    ],
)
def test_attach_to_what_does_not_run(run: Any, engine: Any, status: Status, message: str) -> None:
    from msgspec.structs import replace

    run("%docker run -d --name web httpd")
    engine.created["web"] = replace(engine.created["web"], status=status)
    with pytest.raises(Conflict) as caught:
        list(commands.execute(engine, commands.parse(["attach", "web"])))
    assert caught.value.message == message


def test_start_with_attach_joins_what_runs_already(run: Any, engine: Any) -> None:
    run("%docker run -dit --name web httpd")
    joined = attached(engine, "start -ai web")
    assert (joined.joined, engine.calls[-1]) == (True, ("attach", "web"))
    run("%docker stop web")
    assert not attached(engine, "start -ai web").joined


def test_a_cell_does_not_close_the_input_of_a_container_that_runs(run: Any, engine: Any) -> None:
    run("%docker run -di --name web httpd")
    cell = run("%docker attach web")
    assert (cell.error, cell.stdout) == (None, "hello\n")
    assert not engine.process.closed


def test_an_interrupted_cell_leaves_a_container_that_was_there_running(engine: Any) -> None:
    engine.process.waits_for = "TERM"
    pieces: list[bytes] = []

    def sink(stream: str, data: bytes) -> None:
        pieces.append(data)
        if len(pieces) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(Attached(engine.process, "web", joined=True), sink, grace=0.01)
    assert engine.process.signals == ["INT"]
    assert engine.process.detached


def test_without_sig_proxy_an_interrupt_only_leaves(engine: Any) -> None:
    engine.process.waits_for = "TERM"

    def sink(stream: str, data: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(Attached(engine.process, "web", joined=True, proxy_signals=False), sink)
    assert engine.process.signals == []
    assert engine.process.detached


# --------------------------------------------------------------- restart, update


def test_restart_takes_several_and_tells_of_each(run: Any, engine: Any) -> None:
    run("%docker create --name one httpd")
    run("%docker create --name two httpd")
    cell = run("%docker restart -t 3 -s INT one nobody two")
    assert isinstance(cell.error, MagicError)
    assert cell.stdout == "one\ntwo\n"
    assert ("restart", "two", 3.0, "INT") in engine.calls


def test_update_passes_on_what_is_given(run: Any, engine: Any) -> None:
    run("%docker create --name one httpd")
    assert run("%docker update -m 64m --cpus 1.5 --restart on-failure:2 one").error is None
    policy = RestartPolicy(name="on-failure", maximum=2)
    limits = Resources(memory=64 << 20, nano_cpus=1_500_000_000)
    assert engine.calls[-1] == ("update", "one", limits, policy)
    run("%docker update --pids-limit -1 one")
    assert engine.calls[-1] == ("update", "one", Resources(pids_limit=-1), None)
    updated = run("%docker update --blkio-weight 20 one").value
    assert str(updated) == "one\nYour kernel does not support that."
    assert repr(updated) == "one"


@pytest.mark.parametrize(
    ("line", "message", "code"),
    [
        ("update one", "you must provide one or more flags when using this command", 1),
        ("update --restart foo one", "invalid restart policy: unknown policy 'foo'", 125),
        ("update", "'docker update' requires at least 1 argument", 1),
        ("update --memory-swappiness 5 one", "unknown flag: --memory-swappiness", 125),
        ("restart", "'docker restart' requires at least 1 argument", 1),
        ("restart -t x one", 'strconv.ParseInt: parsing "x": invalid syntax', 125),
        ("attach a b", "'docker attach' requires 1 argument", 1),
        ("attach --detach-keys foo a", "invalid detach keys (foo) provided", 125),
        ("events --since foo", 'failed to parse value as time or duration: "foo"', 125),
        ("events --filter foo", "bad format of filter (expected name=value)", 125),
        ("events --filter foo=bar", "invalid filter 'foo'", 125),
        ("inspect --type foo x", 'unknown type: "foo": must be one of "config", "container"', 125),
    ],
)
def test_dockers_words_for_what_is_wrong(engine: Any, line: str, message: str, code: int) -> None:
    with pytest.raises(DockmagicError) as caught:
        list(commands.execute(engine, commands.parse(line.split())))
    assert message in caught.value.message
    assert caught.value.exit_code == code


def test_forms_with_a_group() -> None:
    for words, verb in [
        ("container attach x", "attach"),
        ("container restart x", "restart"),
        ("container update -m 1g x", "update"),
        ("system events", "events"),
        ("system info", "info"),
    ]:
        assert commands.parse(words.split()).verb == verb


# ------------------------------------------------------------------------ events


def events_of(engine: Any, *words: str) -> Events:
    events = commands.execute(engine, commands.parse(["events", "--until", "1700000001", *words]))
    assert isinstance(events, Events)
    return events


def test_events_up_to_now_are_a_result(engine: Any) -> None:
    events = events_of(engine, "--since", "1600000000", "-f", "type=container", "-f", "event=a")
    filters = {"type": ["container"], "event": ["a"]}
    assert engine.calls[-1] == ("events", 1600000000.0, 1700000001.0, filters, False)
    assert (
        str(events).splitlines()[0].endswith(f"container create {'c' * 64} (image=httpd, name=web)")
    )
    assert repr(events) == "container create (httpd)\ncontainer start (httpd)"
    assert [row["action"] for row in events] == ["create", "start"]


def test_events_have_dockers_formats(engine: Any) -> None:
    assert json.loads(str(events_of(engine, "--format", "json")).splitlines()[0]) == {
        "status": "create",
        "id": "c" * 64,
        "from": "httpd",
        "Type": "container",
        "Action": "create",
        "Actor": {"ID": "c" * 64, "Attributes": {"image": "httpd", "name": "web"}},
        "scope": "local",
        "time": 1700000000,
        "timeNano": 1700000000 * 10**9,
    }
    template = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Time}}"
    assert str(events_of(engine, "--format", template)).splitlines() == [
        "container create web 1700000000",
        "container start web 1700000000",
    ]


def test_events_to_come_are_followed(engine: Any) -> None:
    chunks = list(commands.execute(engine, commands.parse(["events"])))
    assert len(chunks) == 3
    _, since, until, _, follow = engine.calls[-1]
    assert (since > 0, until, follow) == (True, 0.0, True)


def test_in_a_cell_events_are_those_up_to_now(run: Any, engine: Any) -> None:
    cell = run("%events")
    assert isinstance(cell.value, Events)
    _, since, until, _, follow = engine.calls[-1]
    assert (since, until > 0, follow) == (0.0, True, False)


# ----------------------------------------------------------- terminals and cells


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%docker run -it httpd sh", "below %%run_container"),
        ("%docker exec -it web sh", "below %%exec"),
        ("%docker run -dit httpd", ""),
        ("%docker run -t httpd", ""),
        ("%docker run -i httpd", ""),
        ("%%run_container -t httpd\nls", ""),
    ],
)
def test_a_cell_says_that_it_is_no_terminal(run: Any, line: str, message: str) -> None:
    run("%docker run -d --name web httpd")
    cell = run(line)
    assert cell.error is None
    assert (message in cell.stderr) is True
    assert bool(cell.stderr) is bool(message)


def test_a_table_that_was_asked_for_once_is_not_live(run: Any, shell: Any) -> None:
    run("%docker run -d --name web httpd")
    assert not run("%stats").value.once
    assert not run("%stats --no-stream=false").value.once
    assert run("%stats --no-stream").value.once


def test_details_of_a_log_are_a_blank_as_there_are_none(run: Any) -> None:
    run("%docker run -d --name web httpd")
    text = str(run("%docker logs -t --details web").value)
    assert text.splitlines()[1] == "2026-01-01T00:00:01Z  <script>alert(1)</script>"


def test_digests_of_images(engine: Any) -> None:
    images = commands.execute(engine, commands.parse(["images", "--digests"]))
    head, row = str(images).splitlines()
    assert head.split() == ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"]
    assert row.split()[2] == f"sha256:{'e' * 64}"
    images = commands.execute(engine, commands.parse(["images", "--format", "{{.Digest}}"]))
    assert str(images) == f"sha256:{'e' * 64}"


def test_images_until_a_moment(engine: Any) -> None:
    for moment, count in (("1600000000", 0), ("1800000000", 1)):
        images: Any = commands.execute(engine, commands.parse(["images", "-f", f"until={moment}"]))
        assert len(images.rows()) == count
