"""`%config DockMagic`: what a notebook may set."""

from __future__ import annotations

import os

from traitlets import Bool, Enum, Int
from traitlets.config import Configurable


class DockMagic(Configurable):  # type: ignore[misc, unused-ignore]
    """Settings of the dockmagic extension."""

    catalogue = Enum(
        ["when-unreachable", "never", "always"],
        default_value="when-unreachable",
        help="When images are made on this machine instead of pulled from a registry.",
    ).tag(config=True)
    render = Enum(
        ["auto", "widget", "html", "text"],
        help="What results are shown as; auto is a widget where a kernel's front end is.",
    ).tag(config=True)
    output_lines = Int(
        1000,
        min=0,
        help="Lines of a command's output that a cell shows while it grows; of a longer one the "
        "notebook keeps the beginning and the end. 0 keeps all.",
    ).tag(config=True)
    shim = Bool(
        True,
        help="Where no other Docker answers, let `!docker` and `%%bash` cells find ours.",
    ).tag(config=True)
    deterministic = Bool(
        help="Leave out of all results what differs from run to run: for notebooks under test."
    ).tag(config=True)

    def _render_default(self) -> str:
        return os.environ.get("DOCKMAGIC_RENDER", "auto")

    def _deterministic_default(self) -> bool:
        return os.environ.get("DOCKMAGIC_DETERMINISTIC", "") not in ("", "0")

    @property
    def shows_html(self) -> bool:
        return self.render != "text"

    def is_live(self, *, has_page: bool) -> bool:
        """Whether outputs may change while a cell runs and after it: a page has to draw them."""
        if self.deterministic or self.render in ("html", "text"):
            return False
        return has_page or self.render == "widget"
