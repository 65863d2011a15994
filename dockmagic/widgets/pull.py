"""A pull as one bar: layers, bytes and seconds, and what goes on now.

A stand-in is made instead of pulled: its stages and steps take the place of layers.
"""

from __future__ import annotations

from msgspec import Struct, field

from dockmagic.commands.units import decimal_size
from dockmagic.widgets.frame import State, frame, muted
from dockmagic.widgets.html import BLUE, Markup, bar, join, tag
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.progress import PullStatus

_DONE = ("Already exists", "Pull complete", "Complete", "Layer already exists", "Pushed")
_WAITING = ("Pulling fs layer", "Waiting", "Preparing", "Download complete")
_SHOWN = 4  # of the things that go on at once
_ROOT, _STEP = "root", "step "  # what a stand-in's parts are called
_DOWNLOAD = 0.8  # of a layer's share; the rest is its extraction

# Lines of a stand-in's making that say again what its first line and its progress say.
_REPEATED = (
    "; taking a stand-in from the catalogue", "Making a minimal root of",
    "Using the root made earlier", "Fetching ",
)  # fmt: skip
_AMBER, _PLAIN = "\x1b[33m", "\x1b[0m"


def line_of(status: str) -> str:
    """What stays in a cell of a line about the image as a whole: a stand-in is said once, in
    amber, because it may be another release than the one that was asked for."""
    if any(words in status for words in _REPEATED):
        return ""
    return f"{_AMBER}{status}{_PLAIN}\n" if " is a stand-in: " in status else f"{status}\n"


class Transfer(Struct):
    """What has come so far, from the events of a pull."""

    _last: dict[str, PullStatus] = field(default_factory=dict)
    _bytes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, event: PullStatus) -> None:
        if not event.id or event.status.startswith("Pulling from"):
            return
        self._last[event.id] = event
        if event.total and event.status in ("Downloading", "Pushing", "Loading layer"):
            self._bytes[event.id] = (event.current, event.total)
        elif event.status in (*_DONE, "Download complete") and event.id in self._bytes:
            total = self._bytes[event.id][1]
            self._bytes[event.id] = (total, total)

    @property
    def is_stand_in(self) -> bool:
        return any(name == _ROOT or name.startswith(_STEP) for name in self._last)

    @property
    def share(self) -> float | None:
        """Of all of it, 0 to 1; None while that is not known."""
        if not self._last:
            return None
        if self.is_stand_in:
            root = self._last.get(_ROOT)
            is_first = root is not None and len(self._last) == 1
            return root.current / root.total if is_first and root and root.total else None
        return sum(map(self._part, self._last.values())) / len(self._last)

    def _part(self, event: PullStatus) -> float:
        if event.status in _DONE:
            return 1.0
        current, total = self._bytes.get(event.id, (0, 0))
        part = _DOWNLOAD * current / total if total else 0.0
        if event.status == "Extracting" and event.total:
            part = _DOWNLOAD + (1 - _DOWNLOAD) * event.current / event.total
        return part

    def facts(self) -> list[str]:
        """`3 of 7 layers`, `12MB of 54MB`; of a stand-in the stage or step."""
        if not self._last:
            return []
        if self.is_stand_in:
            *_, last = self._last.values()
            count = f" of {last.total}" if last.total else ""
            return [f"stage {last.current}{count}" if last.id == _ROOT else last.id]
        done = sum(event.status in _DONE for event in self._last.values())
        words = [f"{done} of {len(self._last)} layers"]
        if self._bytes:
            current, total = map(sum, zip(*self._bytes.values(), strict=True))
            words.append(f"{decimal_size(current)} of {decimal_size(total)}")
        return words

    def activity(self) -> list[str]:
        """What goes on now, a line each."""
        going = [
            event
            for event in self._last.values()
            if event.status not in _DONE and event.status not in _WAITING
        ]
        return [plain(f"{event.id}  {event.status}") for event in going[-_SHOWN:]]

    def draw(self, name: str, seconds: float) -> Markup:
        share = self.share
        lines = [tag("div", muted(line), class_="dm-mono") for line in self.activity()]
        return frame(
            name,
            tag("div", bar(share, BLUE)) if share is not None else "",
            join(lines),
            state=State("info", "in progress", "▶"),
            facts=[*self.facts(), f"{seconds:.0f} s"],
        )
