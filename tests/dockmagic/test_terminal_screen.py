"""Transcripts of terminals: what a container wrote becomes text with colours, and nothing else."""

from __future__ import annotations

import random
from itertools import combinations_with_replacement

import pytest

from dockmagic.widgets.terminal_colors import ANSI, Run
from dockmagic.widgets.terminal_screen import SAVED_LINES, STYLE, draw

from .test_palette import PAGES, channels, contrast

HOSTILE = (
    b"\x1b]0;title\x07", b"\x1b]2;<b>t</b>\x1b\\", b"\x1b]8;;http://evil/\x07", b"\x1b]8;;\x1b\\",
    b"\x1b]52;c;cm0gLXJm\x07", b"\x07", b"\x1bP$q q\x1b\\", b"\x1b[6n", b"\x1b[>c", b"\x9b31m",
    b"\x1b_apc\x1b\\", b"\x1b]1337;File=:AAAA\x07", b"\x1b[8;1;1t", b"\x1b[?1003h", b"\x1bc",
)  # fmt: skip
PAIRS = list(combinations_with_replacement(range(len(HOSTILE)), 2))


def test_lines_have_their_colours_and_styles() -> None:
    screen = draw(b"a \x1b[1;31mred\x1b[0m \x1b[38;5;208mfar\x1b[m \x1b[7mup\x1b[m\r\nnext\r\n")
    first, second = screen.lines
    assert first == (
        Run("a "), Run("red", fg="red", bold=True), Run(" "), Run("far", fg="ff8700"), Run(" "),
        Run("up", reverse=True),
    )  # fmt: skip
    assert second == (Run("next"),)
    assert screen.text() == "a red far up\nnext"


@pytest.mark.parametrize("pair", PAIRS)
def test_security_hostile_sequences_leave_no_trace(pair: tuple[int, int]) -> None:
    data = b"".join(HOSTILE[index] for index in pair) + b"<script>x</script>\r\n"
    screen = draw(data)
    html = screen.html()
    assert "&lt;script&gt;x&lt;/script&gt;" in html
    assert "<script" not in html
    for trace in ("evil", "title", "rm", "href", "AAAA", "apc"):
        assert trace not in html.replace("dm-term", "")
    assert not any(ord(character) < 32 and character != "\n" for character in screen.text())


def test_text_that_runs_backwards_is_shown_as_it_is_stored() -> None:
    assert draw("abc\u202edef\u2066ghi\r\n".encode()).text() == "abcdefghi"


def test_full_screen_programs_leave_the_transcript_as_it_was() -> None:
    before, after = b"$ vim\r\n", b"$ done\r\n"
    inside = b"\x1b[?1049h\x1b[2J\x1b[Hthe editor\x1b[?1049l"
    assert draw(before + inside + after).text() == "$ vim\n$ done"
    assert draw(inside[12:] + after).text() == "$ done"  # its beginning is not kept
    assert "the editor" in draw(before + inside.removesuffix(b"\x1b[?1049l")).text()


def test_what_was_cleared_is_part_of_the_transcript() -> None:
    assert draw(b"one\r\ntwo\r\n\x1b[H\x1b[2Jthree").text() == "one\ntwo\nthree"


def test_long_transcripts_are_cut_at_their_beginning() -> None:
    screen = draw(b"".join(b"%d\r\n" % number for number in range(5000)))
    assert screen.is_cut
    assert len(screen.lines) == SAVED_LINES
    assert screen.text().endswith("4999")


def test_a_line_is_as_wide_as_the_terminal() -> None:
    assert draw(b"x" * 25, columns=10).text() == "x" * 10 + "\n" + "x" * 10 + "\n" + "x" * 5


def test_wide_and_combining_characters_keep_their_places() -> None:
    assert draw("漢字e\u0301|\r\n".encode()).text() == "漢字é|"


@pytest.mark.parametrize("seed", range(40))
def test_no_bytes_break_it(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        b"\x1b[", b"\x1b]", b"\x1b", b"?", b"1049h", b"m", b";", b":", b"38", b"9999", b"a",
        b"\xe4\xb8\x80", b"\r\n", b"\x9b", b"\x1bP", b"\x07", b"#8", b"(0", b"\x0e", b">", b"!",
        b" q", b"b", b"2025", b"\xcc\x81", *(bytes([c]) for c in b"@ABCDEFGHJKLMPSTXZ"),
    ]  # fmt: skip
    for _ in range(40):
        data = b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 200)))
        screen = draw(data, chance.randint(1, 90), chance.randint(1, 40))
        assert "\x1b" not in screen.text()


@pytest.mark.parametrize("theme", [0, 1])
def test_notebook_b18_colours_of_programs_can_be_read_on_both_themes(theme: int) -> None:
    pages = [channels(page) for page in PAGES[theme][:1]]
    low = [c for c in ANSI[theme] for p in pages if contrast(channels(c), p) < 4.5]
    assert not low
    assert all(color in STYLE for color in ANSI[theme])
