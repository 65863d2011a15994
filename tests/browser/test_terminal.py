"""Terminals in the page: typed into, resized, flooded, left, ended, reloaded, frozen."""

from __future__ import annotations

import re
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


FLOODS = {"yes": "yes", "noise": "cat /dev/urandom"}


@pytest.mark.parametrize("flood", FLOODS)
def test_notebook_b5_a_flood_leaves_page_and_kernel_usable(
    notebook: Any, engine_of_kernels: Engine, flood: str
) -> None:
    page = notebook(
        LOAD, "t = %docker run -it --name box busybox\nt", MEMORY, "before = memory(); 6 * 7",
        "memory() - before < 20_000, t._stream._replay.total > 500_000",
    )  # fmt: skip
    for index in (0, 2):
        page.run(index)
    output = page.run(1)
    expect(screen(output)).to_contain_text("/ #")
    expect(page.run(3)).to_contain_text("42")
    type_into(page, output, FLOODS[flood])
    page.page.wait_for_timeout(4000)  # of flood
    page.screenshot(f"terminal-flood-{flood}")
    expect(page.run(4)).to_contain_text("(True, True)")
    output.locator(".xterm").click()
    for _ in range(5):  # what the noise asked the terminal for is typed as well
        page.page.keyboard.press("Control+c")
        type_into(page, output, "")
        type_into(page, output, "reset")
        page.page.wait_for_timeout(1000)
        type_into(page, output, "echo $((6*7))again")
        page.page.wait_for_timeout(1000)
        if "42again" in screen(output).inner_text():
            return
    raise AssertionError("no prompt comes back")


MEMORY = """
from pathlib import Path

def memory():  # KiB
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
"""


def test_a_terminal_goes_on_while_a_cell_runs(notebook: Any, engine_of_kernels: Engine) -> None:
    page = notebook(
        LOAD, "%docker run -it --name box busybox", "%docker exec -it box sh",
        "import time\ntime.sleep(600)",
    )  # fmt: skip
    page.run(0)
    first, second = page.run(1), page.run(2)
    expect(screen(first)).to_contain_text("/ #")
    expect(screen(second)).to_contain_text("/ #")
    page.start(3)
    page.expect_running(3)
    type_into(page, first, "echo $((6*7)) first")
    expect(screen(first)).to_contain_text("42 first")
    type_into(page, second, "echo $((7*7)) second")
    expect(screen(second)).to_contain_text("49 second")
    page.expect_running(3)
    page.stop()
    page.await_end(3)
    type_into(page, first, "echo $((2*7)) third")
    expect(screen(first)).to_contain_text("14 third")
    page.screenshot("terminal-two")


def test_a_page_that_is_loaded_again_has_its_terminal_back(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    page = notebook(LOAD, "%docker run -it --name box busybox")
    page.run(0)
    output = page.run(1)
    type_into(page, output, "x=41; echo $((x+1)) seen")
    expect(screen(output)).to_contain_text("42 seen")
    page.save()
    page.reload()
    output = page.output(1)
    expect(screen(output)).to_contain_text("42 seen")
    type_into(page, output, "echo $((x+2)) after")
    expect(screen(output)).to_contain_text("43 after")
    type_into(page, output, "exit")
    expect(output.locator(".xterm")).to_have_count(0)
    expect(output.locator("pre")).to_contain_text("42 seen")
    page.save()
    assert "43 after" in str(page.server.read(page.name).cells[1].outputs)


def test_the_kernel_restarts_and_the_transcript_stays(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    page = notebook(LOAD, "%docker run -it --name box busybox")
    page.run(0)
    output = page.run(1)
    type_into(page, output, "echo $((6*7)) seen")
    expect(screen(output)).to_contain_text("42 seen")
    page.restart()
    expect(output.locator(".xterm")).to_have_count(0)
    expect(output.locator("pre")).to_contain_text("42 seen")
    engine_of_kernels.containers.wait("box")
    page.screenshot("terminal-restarted")


def test_the_keys_leave_it_and_attach_comes_back(notebook: Any, engine_of_kernels: Engine) -> None:
    page = notebook(LOAD, "%docker run -it --name box busybox", "%docker attach box", "%ps")
    page.run(0)
    output = page.run(1)
    type_into(page, output, "x=42")
    page.page.keyboard.press("Control+p")
    page.page.keyboard.press("Control+q")
    expect(output).to_contain_text("goes on running")
    again = page.run(2)
    type_into(page, again, "echo x is $x")
    expect(screen(again)).to_contain_text("x is 42")
    again.get_by_role("button", name="Detach").click()
    expect(again).to_contain_text("goes on running")
    expect(page.run(3)).to_contain_text("box")
    page.screenshot("terminal-detached")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_has_the_size_of_the_page_and_its_theme(
    notebook: Any, engine_of_kernels: Engine, theme: str
) -> None:
    page = notebook(LOAD, "%docker run -it --name box busybox", theme=theme, app="notebook")
    page.run(0)
    output = page.run(1)
    type_into(
        page, output, 'stty size; for i in 1 2 3 4 5 6 7; do printf "\\033[3${i}mcolour $i "; done'
    )
    expect(screen(output)).to_contain_text("colour 7")
    wide = size(output)
    page.screenshot(f"terminal-wide-{theme}")
    page.page.set_viewport_size({"width": 460, "height": 900})
    type_into(page, output, "clear; stty size")
    expect(screen(output)).not_to_contain_text("colour")
    expect(screen(output)).to_contain_text("/ #")
    narrow = size(output)
    page.screenshot(f"terminal-460-{theme}")
    assert 100 < wide[1] < 200
    assert 30 < narrow[1] < 60


def size(output: Locator) -> tuple[int, int]:
    """Rows and columns, as stty has written them."""
    rows, columns = re.findall(r"(\d+) (\d+)", screen(output).inner_text())[-1]
    return int(rows), int(columns)


def test_security_hostile_output_is_drawn_and_does_nothing(
    notebook: Any, engine_of_kernels: Engine
) -> None:
    page = notebook(LOAD, "%docker run -it --name box busybox")
    page.run(0)
    output = page.run(1)
    title = page.page.title()
    type_into(
        page, output,
        r"printf '\033]0;evil title\007\033]8;;http://evil/\007link\033]8;;\007"
        r"\033]52;c;ZXZpbA==\007\007<img src=x onerror=alert(1)> http://plain/\n'",
    )  # fmt: skip
    expect(screen(output)).to_contain_text("http://plain/\n")
    assert page.page.title() == title
    assert output.locator("a, img").count() == 0
    type_into(page, output, "exit")
    expect(output.locator("pre")).to_contain_text("<img src=x onerror=alert(1)>")
    assert output.locator("a, img").count() == 0


def test_a_long_paste_arrives_whole(notebook: Any, engine_of_kernels: Engine) -> None:
    page = notebook(LOAD, "%docker run -it --name box busybox")
    page.run(0)
    output = page.run(1)
    type_into(page, output, "stty -echo; cat > /pasted")
    text = "".join(f"line {number} of the paste\n" for number in range(10_000))
    page.page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.setData("text/plain", text);
          const target = document.querySelector(".xterm-helper-textarea");
          target.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        text,
    )
    page.page.keyboard.press("Control+d")
    type_into(page, output, "stty echo; wc -l /pasted; tail -n 1 /pasted")
    expect(screen(output)).to_contain_text("10000 /pasted")
    expect(screen(output)).to_contain_text("line 9999 of the paste")
