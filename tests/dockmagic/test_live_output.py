"""Live outputs: replaced by what lasts, and never a widget's own MIME type."""

from __future__ import annotations

import threading
from typing import Any

from dockmagic.widgets.live_output import LiveOutput, end_all, open_outputs


class Page:
    """Outputs as a front end keeps them: by the id of their display."""

    def __init__(self) -> None:
        self.outputs: dict[str, dict[str, Any]] = {}
        self.updates = 0

    def __call__(self, bundle: dict[str, Any], display_id: str, *, update: bool) -> None:
        assert update == (display_id in self.outputs)
        self.outputs[display_id] = bundle
        self.updates += update

    @property
    def only(self) -> dict[str, Any]:
        (bundle,) = self.outputs.values()
        return bundle


class Drawing:
    """A view that is drawn over an output."""

    def __init__(self) -> None:
        self.mount = ""
        self.closed = 0
        self.replaced: list[dict[str, Any]] = []

    def attach(self, mount: str) -> None:
        self.mount = mount

    def replace(self, bundle: dict[str, Any]) -> None:
        self.replaced.append(bundle)

    def close(self) -> None:
        self.closed += 1


def output(page: Page, texts: list[str]) -> LiveOutput:
    def lasting() -> dict[str, Any]:
        return {"text/plain": texts[-1], "text/html": f"<b>{texts[-1]}</b>"}

    return LiveOutput(lasting, page)


def test_notebook_b1_an_output_is_replaced_by_its_lasting_form_at_its_end() -> None:
    page, texts = Page(), ["begun"]
    live = output(page, texts)
    live.show()
    texts.append("ended")
    live.end()
    assert page.only == {"text/plain": "ended", "text/html": "<b>ended</b>"}


def test_notebook_b1_a_view_is_drawn_over_html_that_reads_without_it() -> None:
    page, drawing = Page(), Drawing()
    live = output(page, ["web"])
    live.mount(drawing)
    live.show()
    assert page.only["text/html"] == f'<div data-dm-view="{drawing.mount}"><b>web</b></div>'
    assert set(page.only) == {"text/plain", "text/html"}
    live.end()
    assert page.only["text/html"] == "<b>web</b>"
    assert drawing.closed == 1


def test_notebook_b1_what_is_taken_away_leaves_an_empty_output() -> None:
    page = Page()
    live = output(page, ["working"])
    live.show()
    live.clear()
    assert page.only == {}


def test_an_output_that_was_never_shown_ends_silently() -> None:
    page = Page()
    output(page, ["x"]).end()
    assert page.outputs == {}


def test_nothing_comes_after_the_end() -> None:
    page = Page()
    live = output(page, ["x"])
    live.show()
    live.end()
    live.show()
    live.end()
    live.clear()
    assert page.updates == 1
    assert page.only["text/plain"] == "x"


def test_notebook_b1_a_kernel_that_leaves_ends_what_is_open() -> None:
    page = Page()
    live = [output(page, ["x"]) for _ in range(3)]
    for item in live:
        item.mount(Drawing())
        item.show()
    end_all()
    assert not list(open_outputs())
    assert all("data-dm-view" not in bundle["text/html"] for bundle in page.outputs.values())


def test_threads_may_show_and_end_it() -> None:
    page = Page()
    live = output(page, ["x"])
    threads = [threading.Thread(target=live.show) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    live.end()
    assert len(page.outputs) == 1


def test_notebook_b1_pages_that_were_loaded_again_are_given_the_replacement_too() -> None:
    page, texts, drawing = Page(), ["begun"], Drawing()
    live = output(page, texts)
    live.mount(drawing)
    live.show()
    assert drawing.replaced == []
    texts.append("later")
    live.refresh()
    assert f'data-dm-view="{drawing.mount}"' in drawing.replaced[-1]["text/html"]
    live.end()
    assert drawing.replaced[-1] == page.only == {"text/plain": "later", "text/html": "<b>later</b>"}
