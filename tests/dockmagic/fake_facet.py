"""What the fakes of all facets share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fake_engine import FakeEngine


class FakeFacet:
    """One facet of a `FakeEngine`, which has all state."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
