"""Live outputs in a page: drawn over HTML, and HTML again without their kernel."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]

LOAD = "%load_ext dockmagic\nw = %docker run -d --name web busybox sleep 600"
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
    expect(live).to_contain_text("CPU:")
    page.screenshot("stats-live")
    page.save()
    (bundle,) = data_of(page, 1)
    assert set(bundle) == {"text/plain", "text/html"}
    page.reload()
    expect(page.output(1).locator(".dm-live")).to_contain_text("CPU:")
    page.screenshot("stats-reloaded")
    page.reopen()
    expect(page.output(1)).to_contain_text("web")
    expect(page.output(1)).not_to_contain_text("not found")
    expect(page.output(1).locator(".dm-live")).to_have_count(0)
    page.screenshot("stats-reopened")
    assert all(WIDGET not in bundle for bundle in data_of(page, 1))
