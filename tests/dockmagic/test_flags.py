"""Docker's command-line grammar, and that nothing but our errors comes out of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic import commands
from dockmagic.commands.options.container import container_spec
from dockmagic.commands.options.flags import HelpAsked, WrongUsage
from dockmagic_runtime.errors import DockmagicError, InvalidInput, Unsupported
from dockmagic_runtime.model.container import ContainerSpec, Mount, PortMapping

TOKENS = [
    "-d", "-it", "-dit", "-p9999:80", "-p", "80", "--rm", "--rm=false", "--rm=x", "--name", "web",
    "--name=web", "--", "-", "--=", "--nmae", "-Z", "httpd", "sh", "-c", "-m", "64m", "-e", "A=1",
    "--mount", "type=bind,src=/a,dst=/b", "-v", "/a:/b:ro", "--cpus", "1.5", "", "=", "-e=A",
    "--format", "{{.ID}}", "-q", "-f", "status=exited", "--restart", "\x00", "ünï", "--tail", "-n",
]  # fmt: skip


def spec(*words: str) -> ContainerSpec:
    arguments = commands.parse(["run", *words])
    return container_spec(arguments, auto_remove=arguments.flag("rm"))


def test_short_flags_combine() -> None:
    arguments = commands.parse(["run", "-dit", "-p9999:80", "ubuntu"])
    assert [arguments.flag(name) for name in ("detach", "interactive", "tty")] == [True] * 3
    assert arguments.flag("publish") == ("9999:80",)


def test_flags_end_at_the_image() -> None:
    arguments = commands.parse(["run", "--rm", "busybox", "ls", "--rm", "-la"])
    assert arguments.words == ("busybox", "ls", "--rm", "-la")


def test_flags_may_follow_words_elsewhere() -> None:
    arguments = commands.parse(["rm", "web", "-f"])
    assert arguments.words == ("web",)
    assert arguments.flag("force") is True


@pytest.mark.parametrize(
    ("word", "expected"),
    [("--rm", True), ("--rm=true", True), ("--rm=0", False), ("--rm=F", False)],
)
def test_a_switch_takes_its_value_behind_an_equals_sign(word: str, expected: bool) -> None:
    assert commands.parse(["run", word, "busybox"]).flag("rm") is expected


def test_two_dashes_end_the_flags() -> None:
    assert commands.parse(["rm", "--", "-f"]).words == ("-f",)


@pytest.mark.parametrize(
    ("line", "message", "code"),
    [
        ("run --nmae x y", "unknown flag: --nmae", 125),
        ("run -Z busybox", "unknown shorthand flag: 'Z' in -Z", 125),
        ("run -itZ busybox", "unknown shorthand flag: 'Z' in -Z", 125),
        ("run --name", "flag needs an argument: --name", 125),
        ("run -p", "flag needs an argument: 'p' in -p", 125),
        ("rm --=x", "bad flag syntax: --=x", 125),
        (
            "run --rm=maybe x",
            'invalid argument "maybe" for "--rm" flag: '
            'strconv.ParseBool: parsing "maybe": invalid syntax',
            125,
        ),
        (
            "run -m abc busybox",
            'invalid argument "abc" for "-m, --memory" flag: invalid size: \'abc\'',
            125,
        ),
        (
            "run --cpus x busybox",
            'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number',
            125,
        ),
        (
            "run -e =x busybox",
            'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x',
            125,
        ),
        (
            "run --mount dst busybox",
            'invalid argument "dst" for "--mount" flag: '
            "invalid field 'dst' must be a key=value pair",
            125,
        ),
        (
            "run --ulimit foo busybox",
            'invalid argument "foo" for "--ulimit" flag: invalid ulimit argument: foo',
            125,
        ),
        (
            "run --sysctl x busybox",
            'invalid argument "x" for "--sysctl" flag: sysctl \'x\' is not allowed',
            125,
        ),
        (
            "run --link a:b:c busybox",
            'invalid argument "a:b:c" for "--link" flag: bad format for links: a:b:c',
            125,
        ),
        (
            "run --add-host x busybox",
            'invalid argument "x" for "--add-host" flag: bad format for add-host: "x"',
            125,
        ),
        (
            "run --dns foo busybox",
            'invalid argument "foo" for "--dns" flag: IP address is not correctly formatted: foo',
            125,
        ),
        (
            "ps -f foo",
            'invalid argument "foo" for "-f, --filter" flag: '
            "bad format of filter (expected name=value)",
            125,
        ),
        ("rm", "'docker rm' requires at least 1 argument", 1),
        ("tag a", "'docker tag' requires 2 arguments", 1),
        ("logs a b", "'docker logs' requires 1 argument", 1),
        ("ps extra", "'docker ps' accepts no arguments", 1),
        ("images a b", "'docker images' requires at most 1 argument", 1),
    ],
)
def test_wrong_lines_in_dockers_words(line: str, message: str, code: int) -> None:
    with pytest.raises(WrongUsage) as caught:
        commands.parse(line.split(" "))
    assert caught.value.message == message
    assert caught.value.exit_code == code
    assert "--help'" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-p 99:abc busybox", "invalid containerPort: abc"),
        ("-p 99999:80 busybox", "invalid hostPort: 99999"),
        ("-p a:b:c:d busybox", "invalid IP address: a:b"),
        ("-p 80/foo busybox", "invalid proto: foo"),
        ("-p 8000-8001:80-82 busybox", "invalid ranges specified for container and host Ports"),
        ("--env-file /nope busybox", "open /nope: no such file or directory"),
        ("-w x busybox", "the working directory 'x' is invalid"),
        ("--pull foo busybox", "invalid pull option: 'foo'"),
        ("-v a:b busybox", "mount path must be absolute"),
        ("-v /a:/ busybox", "destination can't be '/'"),
        ("-v /a:/b:xx busybox", "invalid mode: xx"),
        ("-v aa:/b -v cc:/b busybox", "Duplicate mount point: /b"),
        ("-h x --network container:a busybox", "conflicting options: hostname"),
        ("--network container:a -p 80:80 busybox", "conflicting options: port publishing"),
        ("-m 5m busybox", "Minimum memory limit allowed is 6MB"),
        ("-m 64m --memory-swap 32m busybox", "Minimum memoryswap limit should be larger"),
        ("--expose abc busybox", "invalid range format for --expose: abc"),
    ],
)
def test_wrong_values_in_dockers_words(line: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message.replace("(", r"\(")):
        spec(*line.split(" "))


def test_what_is_planned_says_so_and_is_never_ignored() -> None:
    with pytest.raises(Unsupported, match="--use-api-socket"):
        commands.parse(["run", "--use-api-socket", "busybox"])
    with pytest.raises(Unsupported, match="'docker swarm' is not supported yet"):
        commands.parse(["swarm"])
    with pytest.raises(Unsupported, match="'docker buildx bake'"):
        commands.parse(["buildx", "bake"])


@pytest.mark.parametrize("words", [["--help"], [], ["run", "--help"], ["help", "ps"], ["ps", "-h"]])
def test_help_is_not_an_error(words: list[str]) -> None:
    with pytest.raises(HelpAsked) as caught:
        commands.parse(words)
    assert "Usage:  docker" in caught.value.text


def test_run_has_hostname_for_its_short_h() -> None:
    assert commands.parse(["run", "-h", "box", "busybox"]).flag("hostname") == "box"


def test_a_whole_spec() -> None:
    parsed = spec(
        *"-d --name web -p 127.0.0.1:9999:80 -p 53:53/udp -p 8000-8001:80-81 -e A=1 -l a=b".split(),
        *"-v /host:/data:ro -v vol:/vol --tmpfs /t:size=1m -m 64m --cpus 1.5 -u 1:2".split(),
        *"--entrypoint /bin/x --network none --add-host db:10.0.0.1 --ulimit nofile=1:2".split(),
        "httpd", "a", "-b",
    )  # fmt: skip
    assert parsed.command == ("a", "-b")
    assert parsed.entrypoint == ("/bin/x",)
    assert [str(port) for port in parsed.ports] == [
        "127.0.0.1:9999->80/tcp", "0.0.0.0:53->53/udp",
        "0.0.0.0:8000->80/tcp", "0.0.0.0:8001->81/tcp",
    ]  # fmt: skip
    assert parsed.mounts == (
        Mount(
            kind="bind", source="/host", target="/data", read_only=True, create_source=True,
            options=("ro",),
        ),
        Mount(kind="volume", source="vol", target="/vol"),
        Mount(kind="tmpfs", target="/t", options=("size=1m",)),
    )  # fmt: skip
    assert parsed.resources.memory == 64 << 20
    assert parsed.resources.nano_cpus == 1_500_000_000
    assert (parsed.labels, parsed.env) == ({"a": "b"}, ("A=1",))
    assert (parsed.user, parsed.network) == ("1:2", "none")
    assert parsed.extra_hosts == ("db:10.0.0.1",)
    assert parsed.ulimits == {"nofile": (1, 2)}


def test_an_empty_entrypoint_clears_it() -> None:
    assert spec("--entrypoint", "", "busybox").entrypoint == ()
    assert spec("busybox").entrypoint is None
    assert spec("busybox").command is None


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert spec("-p", "[::1]:80:80", "x").ports == (
        PortMapping(host_ip="::1", host_port=80, container_port=80),
    )


def test_mounts_below_others_come_after_them() -> None:
    targets = [m.target for m in spec("-v", "/a:/x/y", "-v", "/b:/x", "busybox").mounts]
    assert targets == ["/x", "/x/y"]


def test_relative_sources_are_binds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (mount,) = spec("-v", "./site:/htdocs", "httpd").mounts
    assert (mount.kind, mount.source) == ("bind", f"{tmp_path}/site")


def test_environment_comes_from_the_caller_and_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\n  A=1 # kept\nB\nMISSING\n\nC='q'\n", encoding="utf-8-sig")
    monkeypatch.setenv("B", "mine")
    monkeypatch.delenv("MISSING", raising=False)
    parsed = spec("--env-file", str(file), "-e", "A=2", "-e", "B", "-e", "MISSING", "busybox")
    assert parsed.env == ("A=2", "B=mine", "C='q'", "MISSING")  # of a flag: it takes it away
    file.write_text("a b=1\n")
    with pytest.raises(InvalidInput, match="contains whitespaces"):
        spec("--env-file", str(file), "busybox")


@pytest.mark.parametrize("verb", [verb.name for verb in commands.VERBS])
def test_every_verb_has_a_parser_with_help_and_no_flag_twice(verb: str) -> None:
    parser = commands.parser(verb)
    assert parser.verb == verb
    names = [flag.name for flag in parser.flags]
    shorts = [flag.short for flag in parser.flags if flag.short]
    assert len(set(names)) == len(names)
    assert len(set(shorts)) == len(shorts)
    assert all(flag.help for flag in parser.flags if flag.is_shown)
    assert f"docker {verb}" in commands.verb_help(parser)
    assert max(map(len, commands.verb_help(parser).splitlines())) <= 110


@settings(max_examples=300, deadline=None)
@given(
    verb=st.sampled_from([verb.name for verb in commands.VERBS] + ["container", "image", "nope"]),
    words=st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=12)), max_size=7),
)
def test_no_line_raises_anything_but_our_errors(verb: str, words: list[str]) -> None:
    try:
        arguments = commands.parse([verb, *words])
        if arguments.verb in ("run", "create"):
            container_spec(arguments)
    except (DockmagicError, HelpAsked):
        pass
