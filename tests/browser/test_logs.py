"""Logs in the page: followed, searched, filtered, paged, flooded, frozen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]
LOAD = "%load_ext dockmagic"
SCRIPT = r"""
i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done;
printf '\033[32mgreen\033[0m and \033[1mbold\033[0m\n';
echo '<img src=x onerror=alert(1)>'; printf '\033]8;;http://evil/\007link\033]8;;\007\n';
until [ -e /err ]; do sleep 0.1; done; echo broken >&2
until [ -e /go ]; do sleep 0.1; done; echo went; echo last >&2
"""


def lines(output: Locator) -> Locator:
    return output.locator(".dm-live .dm-line:visible")


@pytest.fixture
def noisy(engine_of_kernels: Engine) -> Engine:
    containers = engine_of_kernels.containers
    containers.run("busybox", ["sh", "-c", SCRIPT], name="noisy", detach=True)
    assert any(b"link" in line.text for line in containers.logs("noisy", follow=True))
    containers.exec("noisy", ["touch", "/err"]).wait()
    assert any(b"broken" in line.text for line in containers.logs("noisy", follow=True))
    return engine_of_kernels


@pytest.mark.parametrize(("app", "theme"), [("lab", "light"), ("notebook", "dark")])
def test_a_log_is_followed_while_other_cells_run(
    notebook: Any, noisy: Engine, app: str, theme: str
) -> None:
    page = notebook(LOAD, "%logs -f noisy", "6 * 7", app=app, theme=theme)
    page.run(0)
    output = page.run(1)
    expect(lines(output).filter(has_text="link")).to_have_count(1)
    expect(page.run(2)).to_contain_text("42")
    error = output.locator(".dm-live .dm-line", has_text="broken")
    assert "dm-err" in (error.get_attribute("class") or "")
    assert output.locator("img, a").count() == 0
    expect(output).to_contain_text("3,004 lines")
    page.screenshot(f"logs-{app}-{theme}")
    noisy.containers.exec("noisy", ["touch", "/go"]).wait()
    expect(output).to_contain_text("the container has ended")
    expect(output.locator(".dm-line").filter(has_text="last")).to_have_count(1)
    assert output.locator(".dm-live").count() == 0
    page.screenshot(f"logs-ended-{app}-{theme}")
    page.reopen()
    expect(page.output(1)).to_contain_text("went")
    saved = page.server.read(page.name).cells[1].outputs
    assert set(saved[0].data) == {"text/html", "text/plain"}
    assert {"went", "last"} == set(saved[0].data["text/plain"].splitlines()[-2:])


def test_a_log_is_searched_paged_and_stopped(notebook: Any, noisy: Engine) -> None:
    page = notebook(LOAD, "%logs -f noisy", width=460, app="notebook")
    page.run(0)
    output = page.run(1)
    expect(lines(output).filter(has_text="link")).to_have_count(1)
    search = output.get_by_role("searchbox")
    search.fill("LINE 17")
    expect(lines(output)).to_have_count(sum("17" in str(number) for number in range(3000)))
    expect(lines(output).first.locator("mark").first).to_have_text("line")
    page.screenshot("logs-search-460")
    search.fill("")
    expect(lines(output)).to_have_count(500)
    output.get_by_role("combobox").select_option("stderr")
    expect(lines(output)).to_have_count(1)
    output.get_by_role("combobox").select_option("")
    expect(lines(output)).to_have_count(500)
    output.get_by_role("button", name="older lines").click()
    expect(lines(output)).to_have_count(1000)
    output.get_by_text("times").click()
    expect(lines(output).first).to_have_text(re.compile(r"^20\d\d-.*Zline \d+$"))
    page.screenshot("logs-times-460")
    output.get_by_role("button", name="Stop following").click()
    expect(output).to_contain_text("no longer followed")
    page.screenshot("logs-stopped-460")


def test_notebook_b5_a_flood_of_lines_leaves_the_page_usable(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    engine_of_kernels.containers.run("busybox", ["yes"], name="yes", detach=True)
    page = notebook(LOAD, "%logs -f yes", "6 * 7")
    page.run(0)
    output = page.run(1)
    expect(page.run(2)).to_contain_text("42")
    page.page.wait_for_timeout(4000)  # of flood
    page.screenshot("logs-flood")
    assert lines(output).count() <= 2000
    output.get_by_role("button", name="Stop following").click()
    expect(output).to_contain_text("no longer followed")
    engine_of_kernels.containers.kill("yes")


def test_a_page_that_is_loaded_again_follows_again(notebook: Any, noisy: Engine) -> None:
    page = notebook(LOAD, "%logs -f noisy")
    page.run(0)
    page.run(1)
    page.save()
    page.reload()
    output = page.output(1)
    expect(lines(output).filter(has_text="link")).to_have_count(1)
    noisy.containers.exec("noisy", ["touch", "/go"]).wait()
    expect(output).to_contain_text("the container has ended")
    page.save()
    assert "went" in str(page.server.read(page.name).cells[1].outputs)
