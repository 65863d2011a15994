"""Debian's Chromium with a real Jupyter server: `make test-browser`.

These tests run only when this folder is named: they need a browser and take minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockmagic_runtime import Engine

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .jupyter_server import JupyterServer
    from .page import NotebookPage

_HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    named = any(
        _is_inside(config.invocation_params.dir / arg.split("::")[0]) for arg in config.args
    )
    return None if named else True


def _is_inside(path: Path) -> bool:
    return path.resolve().is_relative_to(_HERE)


@pytest.fixture(scope="session")
def area(stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Docker area for the kernels, with the images of `stock`."""
    root = tmp_path_factory.mktemp("area") / "docker"
    subprocess.run(["cp", "-al", stock, root], check=True)
    yield root
    with Engine(root) as engine:
        engine.system.uninstall()


@pytest.fixture(scope="session")
def server(area: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    from .jupyter_server import serve

    with serve(tmp_path_factory.mktemp("jupyter") / "home", area) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def engine_of_kernels(area: Path) -> Iterator[Engine]:
    """The tests' own engine on the kernels' area; afterwards no container is left."""
    with Engine(area) as engine:
        yield engine
        for container in engine.containers.list(all=True):
            engine.containers.remove(container.id, force=True, volumes=True)


OpenNotebook = Callable[..., "NotebookPage"]


@pytest.fixture
def notebook(
    browser: Browser, server: JupyterServer, request: pytest.FixtureRequest
) -> Iterator[OpenNotebook]:
    """Opens a new notebook of the given cells: `notebook("%load_ext dockmagic", "%ps")`.

    `app` is "lab" or "notebook", `theme` "light" or "dark", `width` in CSS pixels. A failed test
    leaves a screenshot in build/browser/failed/.
    """
    from .page import NotebookPage

    opened: list[NotebookPage] = []
    label = request.node.name.replace("/", "-")

    def open_notebook(
        *sources: str, app: str = "lab", theme: str = "light", width: int = 1300
    ) -> NotebookPage:
        server.use_theme(theme)
        name = f"{len(opened)}-{request.node.originalname}.ipynb"
        server.write(name, sources)
        context = browser.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(20_000)
        page = NotebookPage(context.new_page(), server, name, app)
        opened.append(page)
        return page.open()

    yield open_notebook
    for number, page in enumerate(opened):
        if request.node.stash.get(FAILED, False):
            page.screenshot(f"failed/{label}-{number}")
        page.page.context.close()
    server.shut_down_kernels()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report
