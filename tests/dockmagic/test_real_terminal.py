"""IPython in a terminal, on the real engine: a shell in a container has that terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .test_real_engine import read_until

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_notebook_b6_a_shell_in_ipython_is_typed_into(stocked_engine: Any, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "DOCKMAGIC_ROOT": str(stocked_engine.data_root.root),
        "IPYTHONDIR": str(tmp_path),
        "TERM": "dumb",
    }
    line = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--ext=dockmagic"]
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    read_until(ours, b"In [1]:")
    os.write(ours, b"%docker run -it --name shell busybox\n")
    read_until(ours, b"/ # ")
    os.write(ours, b"echo $((6*7)) inside; exit 3\n")
    assert b"42 inside" in read_until(ours, b"In [2]:")
    os.write(ours, b"%docker start -ai shell\n")
    read_until(ours, b"/ # ")
    os.write(ours, b"\x10\x11")
    read_until(ours, b"In [3]:")
    assert stocked_engine.containers.get("shell").status.is_alive
    os.write(ours, b"exit\n")
    read_until(ours, b"never")
    assert process.wait(30) == 0
    os.close(ours)


def test_notebook_b3_a_notebook_that_is_executed_without_a_page_goes_on(
    stocked_engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("DOCKMAGIC_ROOT", str(stocked_engine.data_root.root))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    sources = (
        "%load_ext dockmagic",
        "%docker run -dit --name shell busybox",
        "%docker attach shell",
        "%docker run -it --rm busybox",
        "%docker exec -it shell sh",
        "%logs --tail 1 shell",
    )
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": tmp_path}}).execute()
    for cell in notebook.cells[2:5]:
        text = "".join(output.get("text", "") for output in cell.outputs)
        assert "A cell is no terminal" in text
        assert not [o for o in cell.outputs if o.output_type == "error"]
    assert "widget" not in str(notebook.cells)
    assert stocked_engine.containers.get("shell").status.is_alive
