"""A pull as one bar: layers, bytes and seconds, and what goes on now.

A stand-in is made instead of pulled: its steps take the place of layers.
"""

from __future__ import annotations

from msgspec import Struct, field

from dockmagic.commands.units import decimal_size
from dockmagic.widgets.frame import State, frame, muted
from dockmagic.widgets.html import BLUE, Markup, bar, join, tag
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.progress import STAND_IN, STEP, PullStatus, PullTotals

_WAITING = ("Pulling fs layer", "Waiting", "Preparing", "Download complete")
_DONE = ("Already exists", "Pull complete", "Layer already exists", "Pushed")
_SHOWN = 4  # of the things that go on at once
_DOWNLOAD = 0.8  # of the whole; the rest is the extraction

# Lines of a stand-in's making that say again what its first line and its progress say.
_REPEATED = ("Making a minimal root of", "Using the root made earlier", "Fetching ")
_AMBER, _PLAIN = "\x1b[33m", "\x1b[0m"


def line_of(event: PullStatus) -> str:
    """What stays in a cell of a line about the image as a whole: a stand-in is said once, in
    amber, because it may be another release than the one that was asked for."""
    if event.id or event.kind == STEP or event.status.startswith(_REPEATED):
        return ""
    return amber(event.status) if event.kind == STAND_IN else f"{event.status}\n"


def note_line(text: str) -> str:
    """The same of a note in a build, whose base image may be a stand-in."""
    return amber(text) if " is a stand-in: " in text else f"{text}\n"


def amber(text: str) -> str:
    return f"{_AMBER}{text}{_PLAIN}\n"


class Transfer(Struct):
    """What has come so far, from the events of a pull."""

    _totals: PullTotals = field(default_factory=PullTotals)
    _last: dict[str, PullStatus] = field(default_factory=dict)

    def add(self, event: PullStatus) -> None:
        self._totals.take(event)
        if event.id and event.kind != STEP and not event.status.startswith("Pulling from"):
            self._last[event.id] = event

    @property
    def share(self) -> float | None:
        """Of all of it, 0 to 1; None while that is not known."""
        totals = self._totals
        if totals.steps:
            return (totals.step - 1) / totals.steps
        if not totals.layers:
            return None
        done = totals.done / totals.layers
        if not totals.total:
            return done
        return _DOWNLOAD * totals.current / totals.total + (1 - _DOWNLOAD) * done

    def facts(self) -> list[str]:
        """`3 of 7 layers`, `12MB of 54MB`; of a stand-in `step 3 of 12`."""
        totals = self._totals
        if totals.steps:
            return [f"stand-in: step {totals.step} of {totals.steps}"]
        if not totals.layers:
            return []
        words = [f"{totals.done} of {totals.layers} layers"]
        if totals.total:
            words.append(f"{decimal_size(totals.current)} of {decimal_size(totals.total)}")
        return words

    def activity(self) -> list[str]:
        """What goes on now, a line each."""
        if self._totals.doing:
            return [plain(self._totals.doing)]
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
