"""Columns of text as Docker's client lays them out."""

from __future__ import annotations

from collections.abc import Sequence

_MINIMUM, _GAP = 10, 3  # as Docker's tab writer: cells of at least ten, three blanks between


def width(text: str) -> int:
    """Columns a terminal gives to `text`: wide East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    import unicodedata  # 1 MB of tables, for text that is no ASCII

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def layout(rows: Sequence[Sequence[str]]) -> str:
    """The rows below one another; the last cell of each is as long as it is.

    Blanks before an empty last cell stay, as in Docker's output.
    """
    count = max(map(len, rows), default=0)
    widths = [_width(rows, index) for index in range(count)]
    return "\n".join(_line(row, widths) for row in rows)


def _width(rows: Sequence[Sequence[str]], index: int) -> int:
    # The last cell of a row does not push its column, as in the tab writer.
    longest = max((width(row[index]) for row in rows if index < len(row) - 1), default=0)
    return max(_MINIMUM, longest + _GAP)


def _line(row: Sequence[str], widths: list[int]) -> str:
    cells = [text + " " * (widths[index] - width(text)) for index, text in enumerate(row[:-1])]
    return "".join([*cells, *row[-1:]])


def ellipsis(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
