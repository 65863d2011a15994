"""Dockerfile cells in JupyterLab and Notebook: highlighted as what they are, errors marked."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]
CELL = "%%dockerfile -t x\nFROM busybox\n# for a test\nRUN for i in 1; do false; done\n"


@pytest.mark.parametrize(("app", "theme"), [("lab", "light"), ("notebook", "dark")])
def test_a_dockerfile_cell_is_highlighted_and_its_error_marked(
    notebook: Any, engine_of_kernels: Engine, app: str, theme: str
) -> None:
    page = notebook("%load_ext dockmagic", CELL, "for i in []:\n    pass", app=app, theme=theme)
    page.run(0)
    cell = page.page.locator(".jp-CodeCell").nth(1)
    # what a language colours is a span of its line
    expect(cell.locator(".cm-line span")).to_have_text(["FROM", "# for a test", "RUN"])
    python = page.page.locator(".jp-CodeCell").nth(2)
    expect(python.locator(".cm-content")).to_have_attribute("data-language", "python")
    page.start(1)
    page.await_end(1)
    marked = cell.locator(".cm-line.dm-error-line")
    expect(marked).to_have_text("RUN for i in 1; do false; done")
    page.screenshot(f"dockerfile-cell-{app}-{theme}")
    cell.locator(".cm-content").click()
    page.page.keyboard.press("Control+End")
    page.page.keyboard.type("# edited")
    expect(marked).to_have_count(0)


def test_a_cell_that_becomes_python_again_is_python(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    page = notebook("x = 1")
    language = page.page.locator(".jp-CodeCell .cm-content").first
    language.click()
    page.page.keyboard.press("Control+a")
    page.page.keyboard.type("%%docker\ndocker ps # all")
    expect(language).to_have_attribute("data-language", "shell")
    page.page.keyboard.press("Control+a")
    page.page.keyboard.type("x = 2")
    expect(language).to_have_attribute("data-language", "python")
