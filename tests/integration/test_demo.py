"""What `make demo` does around a notebook: an area of its own, gone whatever happens inside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

pytestmark = [pytest.mark.root, pytest.mark.network]
RUN = Path(__file__).parent.parent.parent / "notebooks" / "run.py"
CELLS = {
    "load": "%load_ext dockmagic",
    "pull": "%docker pull busybox",
    "run": "%run_container -d --name stays busybox sleep 1000",
    "fail": "%docker stop nobody",
    "after": "1 + 1",
}


def _notebook(path: Path, *names: str) -> Path:
    cells = [
        {
            "cell_type": "code",
            "execution_count": 7,
            "id": name,
            "metadata": {},
            "outputs": [],
            "source": CELLS[name],
        }
        for name in names
    ]
    path.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    return path


def _run(notebook: Path, output: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, RUN, notebook, "--output", output],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_notebook_that_fails_is_told_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    data_root = DataRoot.at(tmp_path / "area")
    before = HostSnapshot.take(data_root)
    done = _run(_notebook(tmp_path / "n.ipynb", "load", "pull", "run", "fail", "after"), tmp_path)
    assert done.returncode == 1
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("n.ipynb: 3 of 5 cells")
    assert last.startswith("Stopped by ")
    assert "nobody" in last
    assert left_behind(before, data_root) == ""
    assert not data_root.root.exists()


@pytest.mark.slow
def test_a_notebook_that_ends_well_is_written_with_its_page(tmp_path: Path) -> None:
    data_root = DataRoot.at(tmp_path / "out" / "area")
    before = HostSnapshot.take(data_root)
    done = _run(_notebook(tmp_path / "n.ipynb", "load", "pull", "run"), tmp_path / "out")
    assert done.returncode == 0, done.stderr
    executed = json.loads((tmp_path / "out" / "n.ipynb").read_text())
    assert [cell["execution_count"] for cell in executed["cells"]] == [1, 2, 3]
    assert "stays" in (tmp_path / "out" / "n.html").read_text()
    assert left_behind(before, data_root) == ""
