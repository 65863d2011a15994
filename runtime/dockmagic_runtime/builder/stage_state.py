"""A stage's `StageState`: what it has come to. Layers, history, the key of all of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from dockmagic_runtime.builder.image_config import history_entry
from dockmagic_runtime.builder.plan.steps import Step
from dockmagic_runtime.builder.results import Result
from dockmagic_runtime.images.oci_documents import chain_id


class StageState(Struct):
    """Where a stage stands. Layers and diff ids bottom first."""

    key: str
    chain_ids: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    created: str = ""
    document: dict[str, Any] | None = None  # the base image's
    base_id: str = ""
    steps: int = 0
    missed: int = 0  # number of the first step that had to be done, if any had

    @property
    def top(self) -> str:
        """The chain so far, "" for none."""
        return self.chain_ids[-1] if self.chain_ids else ""

    def copy(self) -> StageState:
        """For a stage that begins here; what is done anew below it is done anew in it."""
        return StageState(
            key=self.key,
            chain_ids=self.chain_ids,
            diff_ids=self.diff_ids,
            history=self.history,
            created=self.created,
            document=self.document,
            base_id=self.base_id,
            steps=self.steps,
            missed=self.missed,
        )

    def advance(self, step: Step, key: str, result: Result) -> None:
        self.key = key
        self.steps += 1
        self.created = result.created
        is_empty = not result.chain_id
        entry = history_entry(result.created, step.created_by, is_empty=is_empty)
        self.history = (*self.history, entry)
        if not is_empty:
            self.chain_ids = (*self.chain_ids, result.chain_id)
            self.diff_ids = (*self.diff_ids, result.diff_id)

    def carries(self, result: Result) -> bool:
        """Whether the result's layer was made on top of just these layers."""
        return not result.chain_id or result.chain_id == self.chain_id_with(result.diff_id)

    def chain_id_with(self, diff_id: str) -> str:
        return chain_id(self.top, diff_id)
