"""What BuildKit makes of a Dockerfile, kind by kind, seen by a real RUN; numbers are the cases'."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import InvalidInput

from .test_build_mounts import Build

pytestmark = [pytest.mark.root, pytest.mark.network]
STATUS = "RUN stat -c '%a %u:%g'"


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("USER 1000:1000\nWORKDIR /w/x\n{} /w /w/x", ["755 1000:1000"] * 2),
        ("USER 1000\nWORKDIR /w\n{} /w", ["755 1000:0"]),
        ("USER 7:8\nWORKDIR /w\nUSER 9:9\nWORKDIR x/y\nUSER 0\n{} /w /w/x /w/x/y",
         ["755 7:8", "755 9:9", "755 9:9"]),
        ("RUN mkdir -m 700 /w\nUSER 7:8\nWORKDIR /w/x\nUSER 0\n{} /w /w/x", ["700 0:0", "755 7:8"]),
        ("WORKDIR /w\nUSER 7:8\nWORKDIR /w\n{} /w", ["755 0:0"]),
        ("RUN ln -s /real /l\nUSER 7:8\nWORKDIR /l\nUSER 0\n{} /real", ["755 7:8"]),
    ],
    ids=["both", "user alone", "in between", "below others", "there", "through a link"],
)  # fmt: skip
def test_builder_3_a_workdir_belongs_to_the_user_in_force(
    engine: Engine, text: str, owners: list[str]
) -> None:
    assert Build(engine, text.format(STATUS)).output.splitlines() == owners


@pytest.mark.parametrize("path", ["/f", "/f/below", "/link"])
def test_builder_3_a_workdir_on_a_file_is_an_error(engine: Engine, path: str) -> None:
    with pytest.raises(InvalidInput, match=rf"Dockerfile:3: WORKDIR {path}: not a directory"):
        Build(engine, f"RUN touch /f && ln -s f /link\nWORKDIR {path}")


def test_builder_8_caches_of_other_owners_or_modes_are_others(engine: Engine) -> None:
    """Each leaves a file, and sees those that were left in its own cache."""
    seen = {}
    for options in ("", "uid=1000", "gid=1000", "mode=0700", "uid=1000,gid=1000", "id=other"):
        mount = f"--mount=type=cache,target=/c,{options}".rstrip(",")
        text = f"RUN {mount} stat -c '%a %u:%g' /c; ls /c; touch '/c/of {options}'"
        seen[options] = Build(engine, text).output.splitlines()
    assert seen == {
        "": ["755 0:0"],
        "uid=1000": ["755 1000:0"],
        "gid=1000": ["755 0:1000"],
        "mode=0700": ["700 0:0"],
        "uid=1000,gid=1000": ["755 1000:1000"],
        "id=other": ["755 0:0"],
    }
    again = Build(engine, "RUN --mount=type=cache,uid=1000,target=/c ls /c # again")
    assert again.output == "of uid=1000\n"


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "mounts",
    [
        ["type=tmpfs,target=/a", "type=bind,source=sub,target=/a/b"],
        ["type=bind,source=sub,target=/a/b", "type=cache,target=/a"],
        ["type=bind,source=sub,target=/a/../a/b/", "type=tmpfs,target=/a"],
        ["type=bind,source=sub,target=a/b", "type=tmpfs,target=/a"],
    ],
)
def test_builder_11_mounts_are_made_from_the_shallowest_to_the_deepest(
    engine: Engine, context: Path, mounts: list[str], turned: bool
) -> None:
    (context / "sub").mkdir()
    (context / "sub/f").touch()
    ordered = mounts[::-1] if turned else mounts
    flags = " ".join(f"--mount={mount}" for mount in ordered)
    assert Build(engine, f"RUN {flags} ls /a /a/b # {turned}", context).output == (
        "/a:\nb\n\n/a/b:\nf\n"
    )


def test_builder_11_of_two_at_one_target_the_last_is_seen(engine: Engine, context: Path) -> None:
    (context / "f").touch()
    bind, tmpfs = "--mount=type=bind,target=/a", "--mount=type=tmpfs,target=/a"
    assert Build(engine, f"RUN {tmpfs} {bind} ls /a", context).output == "f\n"
    assert Build(engine, f"RUN {bind} {tmpfs} ls /a", context).output == ""


def test_builder_12_a_run_has_neither_dockerenv_nor_hostname(engine: Engine) -> None:
    """The shell may set a variable of that name itself; what it was given is in /proc."""
    output = Build(engine, "RUN ls -a / && cat /proc/self/environ").output
    assert ".dockerenv" not in output
    assert "HOSTNAME" not in output
    named = Build(engine, "ENV HOSTNAME=mine\nRUN echo $HOSTNAME").output
    assert named == "mine\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    return directory
