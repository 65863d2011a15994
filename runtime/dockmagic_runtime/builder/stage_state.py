"""`StageState`: what a stage has reached while it is built: layers, history, cache key."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from dockmagic_runtime.builder.plan.history import entry, with_times
from dockmagic_runtime.builder.plan.steps import Step
from dockmagic_runtime.builder.results import Result
from dockmagic_runtime.images.oci_documents import chain_id


class StageState(Struct):
    """Layers and diff ids bottom first. `key` covers all that has an effect on files."""

    key: str
    chain_ids: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    document: dict[str, Any] | None = None  # the base image's
    base_id: str = ""
    steps: int = 0
    missed: str = ""  # the number of the first step that had to be executed, "" for none

    @property
    def top(self) -> str:
        """The chain so far, "" for none."""
        return self.chain_ids[-1] if self.chain_ids else ""

    @property
    def timed_history(self) -> tuple[dict[str, Any], ...]:
        """The history with a time for each entry, as far as there is any."""
        return with_times(self.history)

    @property
    def created(self) -> str:
        """When the last entry was made, "" if that is not known."""
        times = [str(old.get("created") or "") for old in self.timed_history]
        return next(filter(None, reversed(times)), "")

    def copy(self) -> StageState:
        """For a stage that begins here; what is executed anew below it is anew in it, too."""
        return StageState(
            key=self.key,
            chain_ids=self.chain_ids,
            diff_ids=self.diff_ids,
            history=self.history,
            document=self.document,
            base_id=self.base_id,
            steps=self.steps,
            missed=self.missed,
        )

    def configure(self, step: Step) -> None:
        """Takes in an instruction that only changes the config."""
        self.steps += 1
        if step.created_by:
            self.history = (*self.history, entry(step.created_by, is_empty=True))

    def advance(self, step: Step, key: str, result: Result) -> None:
        self.key = key
        self.steps += 1
        created = entry(step.created_by, created=result.created, is_empty=not result.chain_id)
        self.history = (*self.history, created)
        if result.chain_id:
            self.chain_ids = (*self.chain_ids, result.chain_id)
            self.diff_ids = (*self.diff_ids, result.diff_id)

    def carries(self, result: Result) -> bool:
        """Whether the result's layer was made on top of just these layers."""
        return not result.chain_id or result.chain_id == self.chain_id_with(result.diff_id)

    def chain_id_with(self, diff_id: str) -> str:
        return chain_id(self.top, diff_id)
