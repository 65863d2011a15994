"""Lines of magics in a page: results, Docker's client beside them, Tab, Stop."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import TimeoutError, expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_each_line_of_a_cell_shows_its_result(notebook: Any, engine_of_kernels: Engine) -> None:
    page = notebook(
        "%load_ext dockmagic",
        "%docker create --name one busybox\n%docker create --name two busybox\n"
        "for name in ('one', 'two'):\n    %docker inspect -f '{{.Name}} of a loop' {name}",
        "!docker ps -a",
        "%%bash\ndocker ps -aq | wc -l",
        "%%docker\nfor name in one two; do docker rm $name; done",
    )
    page.run(0)
    shown = page.run(1)
    for text in ("one", "two", "/one of a loop", "/two of a loop"):
        expect(shown).to_contain_text(text)
    expect(page.run(2)).to_contain_text("CONTAINER ID")
    expect(page.output(2)).to_contain_text("two")
    expect(page.run(3)).to_contain_text("2")
    expect(page.run(4)).to_contain_text("one")
    page.screenshot("magic-lines")
    assert not engine_of_kernels.containers.list(all=True)


def test_tab_offers_what_may_stand_there(notebook: Any, engine_of_kernels: Engine) -> None:
    engine_of_kernels.containers.run("busybox", "sleep 1000", name="web", detach=True)
    page = notebook("%load_ext dockmagic\n%docker ps", "")
    page.run(0)
    assert offered(page, "%docker st") == ["start", "stats", "stop"]
    assert {"sha256sum", "sleep"} <= set(offered(page, "%docker exec web s"))
    page.screenshot("magic-tab")


def offered(page: Any, line: str) -> list[str]:
    """What the list shows after Tab. A front end gives a kernel a second: a busy machine may need
    several tries."""
    page.page.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.page.keyboard.press("Control+a")
    page.page.keyboard.type(line)
    items = page.page.locator(".jp-Completer-item .jp-Completer-match")
    for _ in range(8):
        page.page.keyboard.press("Tab")
        try:
            items.first.wait_for(timeout=2500)
        except TimeoutError:
            continue
        words = list(items.all_text_contents())
        page.page.keyboard.press("Escape")
        return words
    return []


def test_stop_ends_a_program_of_a_docker_cell(notebook: Any, engine_of_kernels: Engine) -> None:
    page = notebook("%load_ext dockmagic", "%%docker\necho runs\nsleep 600 | cat")
    page.run(0)
    page.start(1)
    expect(page.output(1)).to_contain_text("$ sleep 600")
    page.stop()
    page.await_end(1)
    expect(page.output(1)).to_contain_text("interrupted: sleep 600 | cat stopped after")
