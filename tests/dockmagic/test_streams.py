"""What a cell keeps of a command's output."""

from __future__ import annotations

import io

import pytest

from dockmagic.magics import streams
from dockmagic.magics.streams import CellOutput, Limits, Streams, bounded

BOUNDED = Limits(1000)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> dict[str, io.StringIO]:
    """The two streams of a cell."""
    targets = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    monkeypatch.setattr(streams, "_target", targets.__getitem__)
    return targets


def feed(limits: Limits, pieces: list[bytes], rest: str = "") -> Streams:
    output = Streams(CellOutput(limits, rest))
    for piece in pieces:
        output.write("stdout", piece)
    output.close()
    return output


def test_notebook_b5_a_short_output_is_kept_as_it_is(cell: dict[str, io.StringIO]) -> None:
    lines = [f"{number}\n".encode() for number in range(1000)]
    feed(BOUNDED, lines)
    assert cell["stdout"].getvalue() == b"".join(lines).decode()


def test_notebook_b5_of_a_flood_the_two_ends_are_kept_and_the_rest_is_counted(
    cell: dict[str, io.StringIO],
) -> None:
    feed(BOUNDED, [b"%d\n" % number for number in range(100_000)], "%logs web has them all")
    lines = cell["stdout"].getvalue().splitlines()
    assert lines[:200] == [str(number) for number in range(200)]
    assert lines[200] == "… 99,600 lines not shown: %logs web has them all …"
    assert lines[201:] == [str(number) for number in range(99_800, 100_000)]


def test_notebook_b5_large_pieces_are_cut_where_single_lines_would_be(
    cell: dict[str, io.StringIO],
) -> None:
    whole = b"".join(b"%d\n" % number for number in range(50_000))
    feed(BOUNDED, [whole[at : at + 65_536] for at in range(0, len(whole), 65_536)])
    lines = cell["stdout"].getvalue().splitlines()
    assert lines[199:202] == ["199", "… 49,600 lines not shown …", "49800"]
    assert len(lines) == 401


def test_notebook_b5_output_without_line_ends_is_bounded_too(
    cell: dict[str, io.StringIO],
) -> None:
    feed(BOUNDED, [b"x" * 65_536] * 100)
    assert len(cell["stdout"].getvalue()) < 300_000
    many = Streams(CellOutput(BOUNDED))
    for _ in range(600_000):
        many.write("stdout", b".")
    many.close()
    assert len(cell["stdout"].getvalue()) < 600_000


def test_notebook_b5_a_terminal_gets_all_of_it(cell: dict[str, io.StringIO]) -> None:
    feed(Limits(), [b"x\n"] * 5000)
    assert cell["stdout"].getvalue() == "x\n" * 5000


def test_notebook_b5_a_page_has_the_last_lines_in_one_output_that_is_replaced(
    cell: dict[str, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, dict[str, str]] = {}

    def publish(bundle: dict[str, str], display_id: str, *, update: bool) -> None:
        shown[display_id] = bundle

    monkeypatch.setattr(streams, "_publisher", publish)
    feed(Limits(1000, live=True), [b"%d\n" % number for number in range(5000)])
    assert cell["stdout"].getvalue().splitlines() == [str(number) for number in range(200)]
    (bundle,) = shown.values()
    lines = bundle["text/plain"].splitlines()
    assert lines[0] == "… 4,600 lines not shown …"
    assert lines[1:] == [str(number) for number in range(4800, 5000)]


def test_the_stream_of_a_line_is_kept(cell: dict[str, io.StringIO]) -> None:
    output = Streams(CellOutput(BOUNDED))
    for _ in range(3000):
        output.write("stdout", b"out\n")
        output.write("stderr", b"err\n")
    output.write("stderr", b"last words")
    output.close()
    assert cell["stderr"].getvalue().splitlines() == ["err"] * 200 + ["last words"]


def test_a_line_that_rewrites_itself_is_kept_as_it_ended(cell: dict[str, io.StringIO]) -> None:
    feed(BOUNDED, [b"x\n"] * 2000 + [b"10 %\r50 %\r100 %\r\n"])
    assert cell["stdout"].getvalue().endswith("\n100 %\n")


def test_a_copy_is_kept_for_the_returned_object(cell: dict[str, io.StringIO]) -> None:
    kept = feed(BOUNDED, [b"%d\n" % number for number in range(3000)])
    assert kept.text("stdout").splitlines() == [str(number) for number in range(3000)]


def test_what_goes_to_a_variable_is_whole(cell: dict[str, io.StringIO]) -> None:
    output = Streams(CellOutput(BOUNDED), captured=frozenset(["stdout"]))
    for _ in range(100):
        output.write("stdout", b"x" * 100_000)
    output.close()
    assert len(output.text("stdout")) == 10_000_000
    assert cell["stdout"].getvalue() == ""


def test_notebook_b5_a_text_that_is_whole_is_bounded_the_same_way() -> None:
    text = "\n".join(map(str, range(5000)))
    lines = bounded(text, 1000, "x").splitlines()
    assert (len(lines), lines[200]) == (401, "… 4,600 lines not shown: x …")
    assert bounded(text, 0, "") == text
