"""A notebook in the browser, driven as a user would: cells are run by keys, Stop by its button."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from .jupyter_server import JupyterServer

APPS = {"lab": "lab/tree", "notebook": "notebooks"}
SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"
LOAD_LIMIT = 90_000  # milliseconds, for a page with its kernel
RUN_LIMIT = 60_000  # milliseconds, for one cell
_EDITING = re.compile("jp-mod-editMode")
_KERNEL_IS_IDLE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.sessionContext?.session?.kernel?.status == "idle";
}"""
# A cell's number may be the same after a restart: only the change of its prompt shows a new run.
_NOTE_RUN = """cell => {
  delete cell.dataset.ran;
  const note = (_, observer) => { cell.dataset.ran = "yes"; observer.disconnect(); };
  const prompt = cell.querySelector(".jp-InputPrompt");
  new MutationObserver(note).observe(prompt, {childList: true, characterData: true, subtree: true});
}"""
_BUSY, _DONE = re.compile(r"\[\*\]"), re.compile(r"\[\d+\]")


class NotebookPage:
    """One open notebook. Cells are counted from 0."""

    def __init__(self, page: Page, server: JupyterServer, name: str, app: str) -> None:
        self.page = page
        self.server = server
        self.name = name
        self.app = app

    def open(self) -> NotebookPage:
        """Loads the page and waits for its kernel."""
        address = f"{self.server.address}/{APPS[self.app]}/{self.name}"
        query = f"token={self.server.token}" + ("&reset" if self.app == "lab" else "")
        self.page.goto(f"{address}?{query}", timeout=LOAD_LIMIT)
        return self.await_kernel()

    def await_kernel(self) -> NotebookPage:
        self.cell(0).wait_for(timeout=LOAD_LIMIT)
        self.page.wait_for_function(_KERNEL_IS_IDLE, timeout=LOAD_LIMIT)
        return self

    def reload(self) -> NotebookPage:
        """As the browser's button does; the kernel stays."""
        self.page.reload(timeout=LOAD_LIMIT)
        return self.await_kernel()

    def reopen(self) -> NotebookPage:
        """Saves, ends the kernel, and opens the notebook again: with a kernel that ran nothing."""
        self.save()
        self.page.goto("about:blank")
        self.server.shut_down_kernels()
        return self.open()

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def output(self, index: int) -> Locator:
        """Everything below the cell's input."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def prompt(self, index: int) -> Locator:
        return self.cell(index).locator(".jp-InputPrompt").first

    def start(self, index: int) -> None:
        """Runs a cell and does not wait for it."""
        cell = self.cell(index)
        cell.evaluate(_NOTE_RUN)
        cell.locator(".cm-content").first.click()
        expect(self.page.locator(".jp-Notebook").first).to_have_class(_EDITING)
        self.page.keyboard.press("Control+Enter")
        expect(cell).to_have_attribute("data-ran", "yes")

    def run(self, index: int, *, limit: int = RUN_LIMIT) -> Locator:
        """Runs a cell to its end; its output."""
        self.start(index)
        self.await_end(index, limit=limit)
        return self.output(index)

    def await_end(self, index: int, *, limit: int = RUN_LIMIT) -> None:
        expect(self.prompt(index)).to_contain_text(_DONE, timeout=limit)

    def expect_running(self, index: int) -> None:
        expect(self.prompt(index)).to_contain_text(_BUSY)

    def run_all(self, *, limit: int = RUN_LIMIT) -> None:
        """Runs each cell from the first to the last, as they stand."""
        for index in range(self.page.locator(".jp-Notebook .jp-CodeCell").count()):
            self.run(index, limit=limit)

    def stop(self) -> None:
        """Presses the toolbar's Stop (interrupt the kernel)."""
        self._command("interrupt-kernel")

    def restart(self) -> None:
        """Presses the toolbar's restart button and accepts."""
        self._command("restart-kernel")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached", timeout=LOAD_LIMIT)
        self.await_kernel()

    def save(self) -> None:
        with self.page.expect_response(
            lambda answer: "/api/contents/" in answer.url and answer.request.method == "PUT",
            timeout=LOAD_LIMIT,
        ):
            self._command("save")

    def screenshot(self, label: str) -> Path:
        """Saves what is seen now as build/browser/LABEL.png."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{label}.png"
        self.page.screenshot(path=path)
        return path

    def _command(self, name: str) -> None:
        """Presses a button of the toolbar."""
        button = self.page.locator(
            f'.jp-Toolbar [data-command$=":{name}"], '
            f'.jp-Toolbar [data-jp-item-name="{name.split("-")[0]}"] :is(button, jp-button)'
        )
        button.first.click()
