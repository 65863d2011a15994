"""What starts a launcher: cheap to import, and shared by processes that are alike only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime.supervisor import launcher_start
from dockmagic_runtime.supervisor.launcher_start import LauncherStart

HEAVY = {
    "asyncio",
    "inspect",
    "json",
    "msgspec",
    "pathlib",
    "sqlite3",
    "typing_extensions",
}


def python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_it_is_loaded_before_all_that_takes_time() -> None:
    loaded = python(
        "import sys; before = set(sys.modules);"
        "import dockmagic_runtime.supervisor.launcher_start;"
        "print(*(set(sys.modules) - before))"
    )
    assert HEAVY.isdisjoint(loaded.split())


def start(tmp_path: Path) -> LauncherStart:
    return LauncherStart(str(tmp_path), str(tmp_path / "run"), "")


def test_engines_alike_have_the_same_launcher(tmp_path: Path) -> None:
    assert start(tmp_path).directory == start(tmp_path).directory


@pytest.mark.parametrize("change", ["_code", "_inherited"])
def test_engines_that_differ_have_launchers_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = start(tmp_path).directory
    monkeypatch.setattr(launcher_start, change, lambda: ("something else",))
    assert start(tmp_path).directory != before


def test_limits_and_capabilities_are_of_what_is_inherited() -> None:
    limits = python(
        "import resource; from dockmagic_runtime.supervisor import launcher_start as s;"
        "before = s._inherited(); soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard));"
        "print(before == s._inherited())"
    )
    assert limits == "False\n"
    assert any(line.startswith(b"CapBnd") for line in launcher_start._inherited()[2])  # type: ignore[attr-defined]


def test_an_area_that_is_not_there_has_no_launcher(tmp_path: Path) -> None:
    launcher_start.prepare(str(tmp_path / "area"))
    assert os.listdir(tmp_path) == []


def test_the_launcher_gets_the_packages_it_imports() -> None:
    packages = launcher_start._packages().split(os.pathsep)
    assert all(
        any(Path(path, name).is_dir() for path in packages)
        for name in ("msgspec", "dockmagic_runtime")
    )
    assert len(packages) <= 2


# ------------------------------------------------------------------ launcher_main


@pytest.mark.parametrize("spoil", ["", "m._STAND_INS['uuid'] = {};"])
def test_msgspec_is_whole_without_the_modules_that_a_launcher_never_uses(spoil: str) -> None:
    """A version of msgspec that looks up more gets the modules all the same."""
    done = python(
        f"from dockmagic_runtime import lean_msgspec as m; import sys; {spoil}"
        "m.import_msgspec();"
        "from msgspec import Struct, json; loaded = set(sys.modules)\n"
        "class P(Struct, frozen=True): a: int; b: tuple[str, ...] = ()\n"
        "print(json.decode(json.encode(P(1, ('x',))), type=P)); print('platform' in loaded)"
    )
    value, is_heavy = done.splitlines()
    assert value == "P(a=1, b=('x',))"
    assert is_heavy == str(bool(spoil))
