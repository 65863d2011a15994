"""Runs a notebook from an empty Docker area and writes what came of it: `make demo`.

The executed notebook and an HTML copy go to build/demo/. The area is a temporary one there, and
nothing of it stays, whether the notebook ends well or not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from tqdm import tqdm

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError

OUTPUT = Path("build/demo")
WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_TIMEOUT = 600  # seconds: the first pull may have to make an image from packages


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--in-place", action="store_true", help="store the outputs in NOTEBOOK too")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIRECTORY")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        with empty_data_root(options.output.absolute() / "area") as root:
            notebook, failure = execute(options.notebook, root)
    except DockmagicError as error:
        print(f"dockmagic: {error}", file=sys.stderr)
        return error.exit_code
    strip(notebook)
    written = write(notebook, options.output / options.notebook.stem)
    if options.in_place and not failure:
        nbformat.write(notebook, options.notebook)
    print(summary(options.notebook, notebook, failure, written, time.monotonic() - start))
    return 1 if failure else 0


@contextmanager
def empty_data_root(root: Path) -> Iterator[Path]:
    """A Docker area at `root`, new, and removed at the end with all that runs in it."""
    if root.exists():  # a run before this one was killed
        remove_data_root(root)
    os.environ["DOCKMAGIC_ROOT"] = str(root)  # the kernel inherits it
    try:
        yield root
    finally:
        remove_data_root(root)


def remove_data_root(root: Path) -> None:
    with Engine(root) as engine:
        engine.system.uninstall()
        shutil.rmtree(engine.data_root.run)
    shutil.rmtree(root)


def execute(path: Path, root: Path) -> tuple[Any, str]:
    """The notebook with its outputs, and the error that stopped it, if any."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    work = root.parent / "work"
    work.mkdir(exist_ok=True)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(total=cells, desc=path.stem, unit="cell", leave=False) as bar:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # warns of TCP on localhost
            resources={"metadata": {"path": str(work)}},
            on_cell_executed=lambda **_: bar.update(),
        )
        try:
            client.execute()
        except CellExecutionError as error:
            return notebook, f"{error.ename}: {error.evalue}"
    shutil.rmtree(work)
    return notebook, ""


def write(notebook: Any, path: Path) -> tuple[Path, Path]:
    """The executed notebook and its HTML copy, at `path` with their suffixes."""
    executed, page = path.with_suffix(".ipynb"), path.with_suffix(".html")
    nbformat.write(notebook, executed)
    body, _ = HTMLExporter().from_notebook_node(notebook)
    page.write_text(body)
    return executed, page


def strip(notebook: Any) -> None:
    """Take out what would differ in every run, and widgets: without their kernel they are blank,
    and hide the HTML that stands beside them."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bare_widget(output)]
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)
    notebook.metadata.pop("widgets", None)


def is_bare_widget(output: Any) -> bool:
    data = output.get("data", {})
    return WIDGET in data and "text/html" not in data


def summary(
    path: Path, notebook: Any, failure: str, written: tuple[Path, Path], seconds: float
) -> str:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    done = sum(cell.execution_count is not None for cell in cells) - bool(failure)
    lines = [
        f"{path.name}: {done} of {len(cells)} cells in {seconds:.0f} s, from an empty Docker area",
        *(f"  {title}" for title in headings(notebook)),
        *(f"Written: {file}" for file in written),
    ]
    return "\n".join([*lines, f"Stopped by {failure}"] if failure else lines)


def headings(notebook: Any) -> Iterator[str]:
    """The notebook's own sections: what it did."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            yield cell.source.splitlines()[0].removeprefix("## ")


if __name__ == "__main__":
    raise SystemExit(main())
