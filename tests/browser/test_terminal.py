"""Terminals in the page: typed into, resized, flooded, left, ended, reloaded, frozen."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from dockmagic_runtime import Engine

from .page import NotebookPage

pytestmark = [pytest.mark.root, pytest.mark.network]
LOAD = "%load_ext dockmagic"


def screen(output: Locator) -> Locator:
    return output.locator(".xterm-rows")


def type_into(page: NotebookPage, output: Locator, text: str) -> None:
    output.locator(".xterm").click()
    page.page.keyboard.type(text)
    page.page.keyboard.press("Enter")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_shell_is_typed_into_and_its_transcript_stays(
    notebook: Any, engine_of_kernels: Engine, app: str
) -> None:
    page = notebook(LOAD, "%docker run -it --name box busybox", app=app)
    page.run(0)
    output = page.run(1)
    expect(screen(output)).to_contain_text("/ #")
    type_into(
        page, output, "echo $((6*7)) in $(hostname | wc -c); printf '\\033[31mred\\033[0m\\n'"
    )
    expect(screen(output)).to_contain_text("42 in 13")
    page.screenshot(f"terminal-{app}")
    type_into(page, output, "exit 3")
    expect(output).to_contain_text("exited (3)")
    expect(output.locator(".xterm")).to_have_count(0)
    expect(output.locator("pre")).to_contain_text("42 in 13")
    page.reopen()
    expect(page.output(1).locator("pre")).to_contain_text("42 in 13")
    page.screenshot(f"terminal-reopened-{app}")
    assert "widget" not in str(page.server.read(page.name).cells[1].outputs)
