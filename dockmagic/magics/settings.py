"""`%config DockMagic`: what a notebook may set."""

from __future__ import annotations

import os
import re
from typing import Any

from traitlets import Bool, Enum, Int, TraitError, Unicode, validate
from traitlets.config import Configurable

_LOG_FILES = "3"


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
    log_size = Unicode(
        "10m",
        help="When the log of a container that a cell starts is rotated, unless its own --log-opt "
        "says otherwise; three files are kept. Empty: never, as with Docker.",
    ).tag(config=True)
    warm_up = Bool(
        True, help="Load what the first magic needs in the background, after %load_ext."
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

    @validate("log_size")  # type: ignore[untyped-decorator, unused-ignore]
    def _check_log_size(self, proposal: Any) -> str:
        size = str(proposal["value"])
        if size and not re.fullmatch(r"[1-9]\d*[bkmg]?", size.lower()):
            raise TraitError(f"log_size is a number with b, k, m or g behind it, not {size!r}")
        return size

    @property
    def log_options(self) -> dict[str, str]:
        """`--log-opt` of containers that have none of their own."""
        return {"max-size": self.log_size, "max-file": _LOG_FILES} if self.log_size else {}

    @property
    def shows_html(self) -> bool:
        return self.render != "text"

    def is_live(self, *, has_page: bool) -> bool:
        """Whether outputs may change while a cell runs and after it: a page has to draw them."""
        if self.deterministic or self.render in ("html", "text"):
            return False
        return has_page or self.render == "widget"
