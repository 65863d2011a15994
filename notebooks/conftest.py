"""nbval runs the notebooks on an empty Docker area of their own, which goes afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from dockmagic_runtime import Engine

DATA_ROOT = pytest.StashKey[Path]()


def pytest_sessionstart(session: pytest.Session) -> None:
    root = Path(tempfile.mkdtemp(prefix="dockmagic-notebooks-"))
    session.config.stash[DATA_ROOT] = root
    os.environ["DOCKMAGIC_ROOT"] = str(root)  # the kernels inherit it


def pytest_sessionfinish(session: pytest.Session) -> None:
    root = session.config.stash[DATA_ROOT]
    with Engine(root) as engine:
        engine.system.uninstall()
        shutil.rmtree(engine.data_root.run)
    shutil.rmtree(root)
