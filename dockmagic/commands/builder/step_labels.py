"""The output of build steps as lines."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from dockmagic.commands.output.result import Chunk, Event
from dockmagic_runtime.model.build import BuildStarted, StepDone, StepOutput


class Labels(Struct):
    """Output in whole lines under the number of its step, where steps speak at the same time."""

    _is_needed: bool = False
    _rest: dict[tuple[int, str], bytes] = field(default_factory=dict)

    def chunks(self, event: Event) -> Iterator[Chunk]:
        """What is to be written of a step's output; nothing for other events."""
        if isinstance(event, BuildStarted):
            self._is_needed = event.stages > 1
        elif isinstance(event, StepDone):
            yield from self._flush(event.number)
        elif isinstance(event, StepOutput) and not self._is_needed:
            yield Chunk(event.stream, event.data)
        elif isinstance(event, StepOutput):
            key = (event.number, event.stream)
            *lines, self._rest[key] = (self._rest.get(key, b"") + event.data).split(b"\n")
            if lines:
                yield self._labelled(event.number, event.stream, lines)

    def label(self, number: int) -> str:
        """The prefix of a line about the step; empty where only one step can have written it."""
        return f"#{number} " if self._is_needed else ""

    def flush(self) -> Iterator[Chunk]:
        """What is left of lines that were never ended."""
        for number in sorted({number for number, _ in self._rest}):
            yield from self._flush(number)

    def _flush(self, number: int) -> Iterator[Chunk]:
        for stream in ("stdout", "stderr"):
            rest = self._rest.pop((number, stream), b"")
            if rest:
                yield self._labelled(number, stream, [rest])

    @staticmethod
    def _labelled(number: int, stream: str, lines: list[bytes]) -> Chunk:
        label = f"#{number} ".encode()
        return Chunk(stream, b"".join(label + line + b"\n" for line in lines))
