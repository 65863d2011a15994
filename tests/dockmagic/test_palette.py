"""The colours of the views: contrast on light and dark pages."""

from __future__ import annotations

import re

import pytest

from dockmagic.widgets import palette

# The page, and a row that is set off from it, in Jupyter's themes and in those of VS Code.
PAGES = {0: ("#ffffff", "#f5f5f5"), 1: ("#111111", "#1e1e1e", "#212121")}
LEAST = 4.5  # WCAG AA, for text of normal size


def channels(color: str) -> tuple[float, ...]:
    return tuple(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))


def luminance(color: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(color: tuple[float, ...], other: tuple[float, ...]) -> float:
    dark, light = sorted((luminance(color), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def on(page: tuple[float, ...], color: tuple[float, ...], share: float) -> tuple[float, ...]:
    return tuple(share * c + (1 - share) * p for c, p in zip(color, page, strict=True))


def test_notebook_b18_the_measure_is_the_one_of_the_guidelines() -> None:
    assert contrast(channels("#000000"), channels("#ffffff")) == pytest.approx(21)
    assert contrast(channels("#22a06b"), channels("#ffffff")) == pytest.approx(3.33, abs=0.02)


@pytest.mark.parametrize("token", palette.TOKENS)
@pytest.mark.parametrize("theme", [0, 1])
def test_notebook_b18_every_token_can_be_read_on_every_page(token: str, theme: int) -> None:
    color = channels(palette.TOKENS[token][theme])
    for page in map(channels, PAGES[theme]):
        assert contrast(color, page) >= LEAST


@pytest.mark.parametrize("token", palette.TOKENS)
@pytest.mark.parametrize("theme", [0, 1])
def test_notebook_b18_every_token_can_be_read_on_its_own_fill(token: str, theme: int) -> None:
    color = channels(palette.TOKENS[token][theme])
    page = channels(PAGES[theme][0])
    alpha = int(fill_of(token, theme)[7:], 16) / 255
    assert alpha == pytest.approx(palette.FILL_PERCENT / 100, abs=0.003)
    assert contrast(color, on(page, color, alpha)) >= LEAST


def fill_of(token: str, theme: int) -> str:
    """As the sheet has it: #rrggbbaa."""
    return str(re.findall(rf"--dm-{token}-fill:(#\w{{8}});", palette.STYLE)[theme])


def test_notebook_b18_the_sheet_has_every_token_for_both_themes_and_no_text_below_11_px() -> None:
    for token, colors in palette.TOKENS.items():
        for color in colors:
            assert f"--dm-{token}:{color};" in palette.STYLE
    assert min(map(int, re.findall(r"font-size:(\d+)px", palette.STYLE))) >= 11
    assert palette.STYLE.count("{") == palette.STYLE.count("}")
    assert len(palette.STYLE) < 4000  # it is in every output
