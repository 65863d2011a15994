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


BUILD = "%%dockerfile -t slow\nFROM busybox\nRUN echo working; sleep 2{}\nRUN echo second\n"


@pytest.mark.parametrize("ending", ["", "; echo no such file; exit 3"], ids=["built", "failed"])
def test_notebook_b1_a_build_leaves_what_lasts(
    notebook: Any, engine_of_kernels: Engine, ending: str
) -> None:
    page = notebook("%load_ext dockmagic", BUILD.format(ending))
    page.run(0)
    page.start(1)
    output = page.output(1)
    expect(output).to_contain_text("working")  # while it runs
    expect(output).to_contain_text("RUN echo second")  # what is still to come
    page.screenshot(f"building-{'failed' if ending else 'built'}")
    page.await_end(1)
    expect(output).to_contain_text("exit code: 3" if ending else "slow:latest")
    page.screenshot(f"build-{'failed' if ending else 'built'}")
    page.reopen()
    expect(page.output(1)).to_contain_text("no such file" if ending else "3 steps")
    expect(page.output(1)).not_to_contain_text("not found")
    bundles = [bundle for bundle in data_of(page, 1) if bundle]
    assert len(bundles) == 1
    assert set(bundles[0]) == {"text/plain", "text/html"}


def test_notebook_b5_a_flood_leaves_the_page_usable_and_the_notebook_small(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    page = notebook("%load_ext dockmagic", "%docker run --name flood busybox yes", "6 * 7")
    page.run(0)
    page.start(1)
    expect(page.output(1)).to_contain_text("lines before these")
    page.page.wait_for_timeout(8000)
    page.screenshot("flood")
    page.stop()
    page.await_end(1)
    expect(page.output(1)).to_contain_text("■ interrupted: flood stopped")
    expect(page.output(1)).to_contain_text("lines not shown: %logs flood has them all")
    page.screenshot("flood-stopped")
    expect(page.run(2)).to_contain_text("42")
    page.save()
    cell = page.server.read(page.name).cells[1]
    text = "".join(
        o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in cell.outputs
    )
    assert len(text.splitlines()) <= 405
    config = engine_of_kernels.containers.inspect("flood")["HostConfig"]["LogConfig"]["Config"]
    assert config == {"max-size": "10m", "max-file": "3"}
