"""The shortest way through a browser: one notebook in each front end."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_cell_shows_what_its_container_wrote(
    notebook: Any, engine_of_kernels: Engine, app: str
) -> None:
    page = notebook("%load_ext dockmagic", "%docker run --rm busybox echo from inside", app=app)
    page.run(0)
    expect(page.run(1)).to_contain_text("from inside")
    page.screenshot(f"smoke-{app}")
    assert not engine_of_kernels.containers.list(all=True)


def test_stop_restart_reload_and_reopen(notebook: Any, engine_of_kernels: Engine) -> None:
    page = notebook("import time\ntime.sleep(600)", "print('saved')\nx = 1", "'x' in globals()")
    page.start(0)
    page.expect_running(0)
    page.stop()
    page.await_end(0)
    expect(page.output(0)).to_contain_text("KeyboardInterrupt")
    page.run(1)
    page.save()
    page.reload()
    expect(page.output(1)).to_contain_text("saved")
    expect(page.run(2)).to_contain_text("True")
    page.restart()
    expect(page.run(2)).to_contain_text("False")
    page.reopen()
    expect(page.output(1)).to_contain_text("saved")
    assert page.server.read(page.name).cells[1].outputs[0].text == "saved\n"
