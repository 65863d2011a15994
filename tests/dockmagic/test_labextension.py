"""The extension of JupyterLab that the wheel brings along; `tests/browser` looks at it at work."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import dockmagic

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "dockmagic" / "labextension"


def test_the_wheel_puts_it_where_jupyter_looks() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"dockmagic/labextension": "share/jupyter/labextensions/dockmagic"}


def test_its_description_names_its_file_and_our_version() -> None:
    package = json.loads((SOURCE / "package.json").read_text())
    build = package["jupyterlab"]["_build"]
    script = (SOURCE / build["load"]).read_text()
    assert package["version"] == dockmagic.__version__
    assert f"_JUPYTERLAB.{package['name']} =" in script
    assert f'"{build["extension"]}"' in script


def test_it_loads_nothing_from_elsewhere() -> None:
    script = (SOURCE / "static" / "remoteEntry.js").read_text()
    for word in ("http:", "https:", "import(", "eval(", "innerHTML"):
        assert word not in script
