"""Steps that speak at the same time are kept apart, line by line."""

from __future__ import annotations

from dockmagic.commands.builder.step_labels import Labels
from dockmagic.commands.output.result import Chunk
from dockmagic_runtime.model.build import BuildStarted, StepDone, StepOutput


def said(labels: Labels, number: int, data: bytes, stream: str = "stdout") -> list[Chunk]:
    return list(labels.chunks(StepOutput(number=number, stream=stream, data=data)))


def test_one_stage_needs_no_labels() -> None:
    labels = Labels()
    assert list(labels.chunks(BuildStarted(steps=2))) == []
    assert said(labels, 2, b"as it ") == [Chunk("stdout", b"as it ")]


def test_lines_of_several_stages_carry_their_steps_number() -> None:
    labels = Labels()
    list(labels.chunks(BuildStarted(steps=4, stages=2)))
    assert said(labels, 2, b"one\ntw") == [Chunk("stdout", b"#2 one\n")]
    assert said(labels, 3, b"three\n", "stderr") == [Chunk("stderr", b"#3 three\n")]
    assert said(labels, 2, b"o\n") == [Chunk("stdout", b"#2 two\n")]


def test_what_has_no_end_is_told_when_its_step_is_done_or_the_build_is_over() -> None:
    labels = Labels()
    list(labels.chunks(BuildStarted(steps=4, stages=2)))
    assert said(labels, 2, b"two") == said(labels, 3, b"three") == []
    done = StepDone(number=2, cached=False, seconds=0)
    assert list(labels.chunks(done)) == [Chunk("stdout", b"#2 two\n")]
    assert list(labels.flush()) == [Chunk("stdout", b"#3 three\n")]
    assert list(labels.flush()) == []
