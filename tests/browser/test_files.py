"""Files in the page: looked at, downloaded, uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]
LOAD = "%load_ext dockmagic"
SCRIPT = (
    "mkdir -p /site/deep; echo '<b>hello</b>' > /site/index.html; "
    "head -c 3000000 /dev/zero > /big; "
    "touch '/site/<img src=x>'; ln -s index.html /site/link; sleep 600"
)


def button(output: Locator, name: str) -> Locator:
    return output.get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize(
    ("app", "theme", "width"), [("lab", "light", 1300), ("notebook", "dark", 460)]
)
def test_files_of_a_container(
    notebook: Any, engine_of_kernels: Engine, tmp_path: Path, app: str, theme: str, width: int
) -> None:
    containers = engine_of_kernels.containers
    containers.run("busybox", ["sh", "-c", SCRIPT], name="site", detach=True)
    page = notebook(LOAD, "%files site", app=app, theme=theme, width=width)
    page.run(0)
    output = page.run(1)
    button(output, "/site").click()
    button(output, "/site/index.html").click()
    expect(output.locator(".dm-content pre")).to_have_text("<b>hello</b>\n")
    assert output.locator("img, .dm-content b b").count() == 0
    page.screenshot(f"files-{app}-{width}")
    with page.page.expect_download() as download:
        button(output, "download /site/index.html").click()
    assert download.value.suggested_filename == "index.html"
    assert Path(download.value.path()).read_text() == "<b>hello</b>\n"
    (tmp_path / "new.txt").write_text("from the page" * 200_000)  # more than one message
    output.locator("input[type=file]").set_input_files(tmp_path / "new.txt")
    expect(button(output, "/site/new.txt")).to_be_visible()
    wait = containers.exec("site", ["sh", "-c", "test $(wc -c < /site/new.txt) = 2600000"])
    assert wait.wait() == 0
    button(output, "the root").click()
    with page.page.expect_download() as download:
        button(output, "download /big").click()
    assert Path(download.value.path()).stat().st_size == 3_000_000
    page.reopen()
    expect(page.output(1)).to_contain_text("drwx")
    page.screenshot(f"files-reopened-{app}-{width}")


def test_files_of_an_image(notebook: Any, engine_of_kernels: Engine) -> None:
    page = notebook(LOAD, "%files busybox /etc")
    page.run(0)
    output = page.run(1)
    expect(button(output, "/etc/passwd")).to_be_visible()
    button(output, "/etc/passwd").click()
    expect(output.locator(".dm-content pre")).to_contain_text("root:")
    assert button(output, "Upload").count() == 0
    assert not engine_of_kernels.containers.list(all=True)
    page.screenshot("files-image")
