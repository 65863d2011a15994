"""Stop, pressed while each kind of cell runs: one grey line, and a kernel that goes on."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from dockmagic_runtime import Engine

pytestmark = [pytest.mark.root, pytest.mark.network]

SOURCES = {
    "run": "%docker run --name box busybox sh -c 'echo begun; sleep 600'",
    "exec": "%exec other sh -c 'echo begun; sleep 600'",
    "attach": "%docker attach --sig-proxy=false other",
    "wait": "%docker wait other",
    "stop": "%docker stop -t 600 other",
    "events": "%docker events --until 2099-01-01",
    "logs": "%docker logs -f --details other",
    "build": "%%dockerfile -t slow\nFROM busybox\nRUN echo begun; sleep 600",
}
STUBBORN = "trap '' TERM; echo begun; while :; do sleep 0.2; echo tick; done"


@pytest.mark.parametrize("kind", SOURCES)
def test_notebook_b2_stop_gives_one_line(
    notebook: Any, engine_of_kernels: Engine, kind: str
) -> None:
    containers = engine_of_kernels.containers
    containers.run("busybox", ["sh", "-c", STUBBORN], name="other", detach=True)
    page = notebook("%load_ext dockmagic", SOURCES[kind], "6 * 7")
    page.run(0)
    page.start(1)
    if kind in ("run", "exec"):
        expect(page.output(1)).to_contain_text("begun", timeout=30_000)
    elif kind in ("attach", "logs"):
        expect(page.output(1)).to_contain_text("tick", timeout=30_000)
    elif kind == "build":  # its progress is drawn although no event follows (b7)
        expect(page.output(1)).to_contain_text("RUN echo begun", timeout=30_000)
    else:
        page.page.wait_for_timeout(2000)  # these show nothing of their beginning
    page.expect_running(1)
    page.stop()
    page.await_end(1)
    output = page.output(1)
    expect(output).to_contain_text("■ interrupted: ")
    text = output.inner_text()
    assert "Traceback" not in text
    assert len([line for line in text.splitlines() if "interrupted" in line]) == 1
    page.screenshot(f"stop-{kind}")
    expect(page.run(2)).to_contain_text("42")
    assert containers.get("other").status.is_alive
    if kind == "run":
        assert not containers.get("box").status.is_alive
