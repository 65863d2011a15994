"""What `run`, `exec`, `inspect` and `logs` may load: see tests/dockmagic/test_import_budget.py.

Each budget is what the command needs today, with room for a few modules more.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec

pytestmark = [pytest.mark.root, pytest.mark.network]

HEAVY = frozenset(
    "IPython ipywidgets pyroute2 dulwich dnslib zstandard http.client ssl asyncio argparse inspect "
    "dataclasses subprocess urllib.parse ipaddress hashlib pathlib tempfile shutil csv "
    "importlib.metadata typing_extensions uuid decimal".split()
)
BUDGETS = [
    ("run --rm busybox true", 310, HEAVY),
    ("exec web true", 185, HEAVY | {"ctypes"}),
    ("inspect web", 180, HEAVY | {"ctypes", "threading"}),
    ("logs web", 175, HEAVY | {"ctypes", "json"}),
]


@pytest.mark.parametrize(("line", "most", "forbidden"), BUDGETS, ids=lambda value: str(value)[:12])
def test_a_command_with_a_container_loads_what_it_needs(
    engine: Engine, line: str, most: int, forbidden: frozenset[str]
) -> None:
    web = ContainerSpec(image="busybox", name="web", command=("sleep", "1000"))
    engine.containers.run(web, detach=True)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dockmagic", *line.split()],
        env={**os.environ, "DOCKMAGIC_ROOT": engine.data_root.path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    rows = [row for row in done.stderr.splitlines() if row.startswith("import time:")][1:]
    modules = [row.rpartition("|")[2].strip() for row in rows]
    assert not forbidden & set(modules)
    assert len(modules) <= most, sorted(set(modules))
