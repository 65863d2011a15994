"""Any text for any option of any verb ends in an answer or in one error, never in a traceback.

The lines are drawn from the verbs' own definitions, with fixed seeds: what one of them finds, it
finds again.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.options.flags import Flag, Parser
from dockmagic.commands.verbs import GROUPS, VERBS

ODD = [
    "", " ", "-", "--", ".", "..", "/", "//", "a" * 300, "a" * 5000, "\0", "a\0b", "\n", "\t",
    "\udcff", "a\udc80b", "ü", "日本", "\u202e", "\x1b[31m", "%s", "{{", "{{.X}}", "{{json .}}",
    "{{\udcff}}", "{{range .}}", "{{printf \"%9999d\" 1}}", "-1", "0", "1", "1e999", "0x1p-3",
    "99999999999999999999", "1_000", "٣", "nan", "inf", "1.5", "5s", "-5h", "1m1m1m", "=", "a=",
    "=b", "a=b", "a=b=c", "a:b", ":", "::", "a:b:c:d:e", ",", "a,b", ",,", '"', '"a', 'a"b', "'",
    "[", "(", "*", "?", "\\", "$x", "~", "~root/x", "/dev/null", "/proc/self/mem", "/etc", "nosuch",
    "on-failure:x", "type=bind", "type=tmpfs,dst=/x", "10.0.0.1", "::1", "1.2.3.4/99", "[::1]:80",
    "80", "80-90", "90-80", "65536", "http://x", "busybox", "BUSYBOX", "a@sha256:0", "@", "a/../b",
    "status=running", "until=x", "label=", "KILL", "64m", "1g", "host", "none", "container:",
    "ctrl-p", "always", "json", "table {{.ID}}", "raw",
]  # fmt: skip
KEYS = sorted(
    {verb.name for verb in VERBS} | {k for group in GROUPS.values() for k in group.values()}
)
SEEDS = range(3)
LEFT_OUT = {"__complete"}
# they would go on for ever; without systemd there is nothing to listen on
ENDING = {"stats": ["--no-stream"], "events": ["--until=1"], "serve": ["--host=fd://"]}


def line_of(key: str) -> list[str]:
    """The words that ask for a verb."""
    if key in {verb.name for verb in VERBS}:
        return [key]
    return next(
        [group, name] for group, verbs in GROUPS.items() for name, k in verbs.items() if k == key
    )


def written(flag: Flag, chance: random.Random) -> list[str]:
    if not flag.takes_value:
        return (
            [f"--{flag.name}"] if chance.random() < 0.8 else [f"--{flag.name}={chance.choice(ODD)}"]
        )
    text = chance.choice(ODD)
    return [f"--{flag.name}={text}"] if chance.random() < 0.5 else [f"--{flag.name}", text]


def lines(key: str, grammar: Parser, chance: random.Random) -> Iterator[list[str]]:
    """Each flag with a few values, then several flags together, with odd words behind them."""
    least = grammar.minimum
    for flag in grammar.flags:
        for _ in range(2):
            yield [*line_of(key), *written(flag, chance), *ENDING.get(key, ()), *["web"] * least]
    for _ in range(20):
        flags = chance.sample(grammar.flags, min(len(grammar.flags), chance.randrange(3)))
        words = [chance.choice(ODD) for _ in range(least + chance.randrange(2))]
        texts = (word for flag in flags for word in written(flag, chance))
        yield [*line_of(key), *texts, *ENDING.get(key, ()), *words]


@pytest.fixture
def prepared(
    dockmagic: Any, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    dockmagic("run -d --name web httpd")
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield dockmagic


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", [key for key in KEYS if key not in LEFT_OUT])
def test_security_7_no_argument_ends_in_a_traceback(prepared: Any, key: str, seed: int) -> None:
    chance = random.Random(f"{key} {seed}")
    failures = []
    for line in lines(key, commands.parser(key), chance):
        try:
            code, _, err = prepared(line)
            if not 0 <= code < 256 or "Traceback" in err:
                failures.append((line, code, err))
        except BaseException as error:
            failures.append((line, repr(error), traceback.format_tb(error.__traceback__)[-1]))
    assert not failures
