"""What a command line may load: a command that starts slowly has imported too much.

Modules are counted, not milliseconds: the counts do not depend on the machine. Each budget is what
the verb needs today, with room for a few modules more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic.commands.options.container_flags import CONTAINER_FLAGS
from dockmagic.commands.options.flags import Converter
from dockmagic_runtime.store.data_root import DataRoot

HEAVY = frozenset(
    "IPython ipywidgets anywidget traitlets pyroute2 dulwich dnslib zstandard http.client ssl "
    "asyncio argparse inspect dataclasses subprocess urllib.request importlib.metadata".split()
)
DATABASE = frozenset({"sqlite3"})
BUDGETS = [
    ("version", 80, HEAVY | DATABASE),
    ("--help", 80, HEAVY | DATABASE),
    ("nosuch", 90, HEAVY | DATABASE),
    ("ps", 175, HEAVY),
    ("images", 195, HEAVY),
    ("logs nosuch", 175, HEAVY),
]


def loaded_by(line: str, root: Path) -> list[str]:
    """The modules that a command line imports, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dockmagic", *line.split()],
        env={**os.environ, "DOCKMAGIC_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    rows = [row for row in done.stderr.splitlines() if row.startswith("import time:")]
    return [row.rpartition("|")[2].strip() for row in rows[1:]]


@pytest.fixture
def area(tmp_path: Path) -> Iterator[Path]:
    """A data root, and nothing of it on the host afterwards."""
    yield tmp_path / "area"
    DataRoot.at(tmp_path / "area").run.rmdir()


@pytest.mark.root
@pytest.mark.parametrize(("line", "most", "forbidden"), BUDGETS, ids=lambda value: str(value)[:12])
def test_a_command_loads_what_it_needs(
    line: str, most: int, forbidden: frozenset[str], area: Path
) -> None:
    loaded_by("ps", area)  # the first command of an area makes it
    modules = loaded_by(line, area)
    assert "dockmagic.cli" in modules
    assert not forbidden & set(modules)
    assert len(modules) <= most, sorted(set(modules))


def test_the_extension_loads_no_engine() -> None:
    program = (
        "import sys, dockmagic; before = set(sys.modules);"
        "heavy = {'sqlite3', 'pyroute2', 'dulwich', 'dnslib', 'zstandard'} & before;"
        "assert not heavy, heavy; assert 'dockmagic_runtime.engine.engine' not in before"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_every_converter_that_is_named_is_there() -> None:
    """Converters of rare flags are named by texts, which no type checker follows."""
    for flag in CONTAINER_FLAGS:
        if isinstance(flag.convert, Converter):
            assert callable(flag.convert.load())
