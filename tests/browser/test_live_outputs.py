"""Live outputs in a page: drawn over HTML, and HTML again without their kernel."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]

BUSY = "sh -c 'while :; do seq 20000 >/dev/null; sleep .2; done'"
LOAD = f"%load_ext dockmagic\nw = %docker run -d --name web busybox {BUSY}"
WIDGET = "application/vnd.jupyter.widget-view+json"


def data_of(page: Any, cell: int) -> list[dict[str, Any]]:
    """The bundles that were saved for a cell."""
    outputs = page.server.read(page.name).cells[cell].outputs
    return [output.get("data", {}) for output in outputs]


def test_notebook_b1_a_live_view_is_its_static_form_when_it_is_opened_without_its_kernel(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    page = notebook(LOAD, "%stats web")
    page.run(0)
    output = page.run(1)
    live = output.locator(".dm-live")
    expect(live).to_contain_text("CPU")
    page.screenshot("stats-live")
    page.save()
    (bundle,) = data_of(page, 1)
    assert set(bundle) == {"text/plain", "text/html"}
    page.reload()
    expect(page.output(1).locator(".dm-live")).to_contain_text("CPU")
    page.screenshot("stats-reloaded")
    page.reopen()
    expect(page.output(1)).to_contain_text("web")
    expect(page.output(1)).not_to_contain_text("not found")
    expect(page.output(1).locator(".dm-live")).to_have_count(0)
    page.screenshot("stats-reopened")
    assert all(WIDGET not in bundle for bundle in data_of(page, 1))


def test_notebook_b9_statistics_end_dimmed_with_their_exit_code(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    page = notebook(LOAD, "%stats web", width=1000, theme="dark")
    page.run(0)
    live = page.run(1).locator(".dm-live")
    expect(live).to_contain_text("process")
    page.page.wait_for_function("document.querySelectorAll('.dm-live svg path').length > 3")
    page.page.wait_for_timeout(4000)
    page.screenshot("stats-charts-dark")
    live.get_by_label("kill web").click()
    expect(live).to_contain_text("What it has not written is lost")
    page.screenshot("stats-question")
    live.get_by_role("button", name="kill", exact=True).click()
    expect(live).to_contain_text("exited (137)")
    expect(live).to_contain_text("docker kill web")
    page.screenshot("stats-ended")


@pytest.mark.parametrize("width", [1300, 620])
def test_containers_are_listed_live_with_their_buttons(
    notebook: Any, engine_of_kernels: Engine, width: int
) -> None:
    page = notebook(
        LOAD + "\n%docker run -d --name site -p 18080:80 httpd",
        "%ps",
        "%docker stop -t 1 site",
        width=width,
    )
    page.run(0)
    live = page.run(1).locator(".dm-live")
    expect(live).to_contain_text("site")
    expect(live.locator("a.dm-link")).to_have_text(":18080→80")
    live.get_by_label("details").first.click()
    expect(live.locator(".dm-panel")).to_be_visible()
    page.page.wait_for_timeout(3000)
    page.screenshot(f"containers-{width}")
    live.get_by_label("pause web").click()
    expect(live).to_contain_text("(Paused)")
    expect(live).to_contain_text("docker pause web")
    page.run(2)
    expect(live).not_to_contain_text("site")
    page.screenshot(f"containers-after-{width}")
