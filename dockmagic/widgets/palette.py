"""The colours and the style sheet that all views share.

A token has one colour for light pages and one for dark ones, each with a contrast of at least 4.5:1
on the page, on a striped row and on its own fill (measured by a test). Pages without the sheet
(untrusted notebooks, GitHub) show the same HTML in their own colours: no meaning is in colour only.
"""

from __future__ import annotations

from typing import Final

# Name → (on light pages, on dark pages). Fail is for failures and nothing else.
TOKENS: Final[dict[str, tuple[str, str]]] = {
    "run": ("#0b7a4b", "#3ecf8e"),
    "info": ("#1d63ed", "#79b0ff"),
    "warn": ("#a15c00", "#f0a94b"),
    "fail": ("#c62828", "#ff7b72"),
    "net": ("#6f42c1", "#b392f0"),
    "muted": ("#5c6370", "#a3abb6"),
}
FILL_PERCENT: Final = 10
NARROW: Final = 700  # pixels of width below which a row takes two lines


def color(token: str) -> str:
    """The token as a CSS value; where the sheet is missing, its colour for light pages."""
    return f"var(--dm-{token},{TOKENS[token][0]})"


def fill(token: str) -> str:
    """The token's background."""
    return f"var(--dm-{token}-fill,transparent)"


def _variables(theme: int) -> str:
    on = ("#fff", "#111")[theme]  # text on a token's own colour
    alpha = f"{FILL_PERCENT * 255 // 100:02x}"
    return f"--dm-on:{on};" + "".join(
        f"--dm-{name}:{colors[theme]};--dm-{name}-fill:{colors[theme]}{alpha};"
        for name, colors in TOKENS.items()
    )


_CLASSES = "".join(f".dm-{name}{{color:var(--dm-{name})}}" for name in TOKENS)
# `.dm.dm.dm` outweighs the rules that Jupyter has for tables, code and headings in an output.
STYLE: Final = (
    f".dm{{{_variables(0)}}}"
    f"[data-jp-theme-light=false] .dm,.vscode-dark .dm{{{_variables(1)}}}"
    f".dm{{--dm-line:var(--jp-border-color2,#8884);"
    "--dm-mono:var(--jp-code-font-family,ui-monospace,monospace);"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5;"
    "font-variant-numeric:tabular-nums;text-align:left;container-type:inline-size;"
    "margin:2px 0 2px calc(var(--jp-code-padding,5px) + 3px);overflow-wrap:anywhere}"
    f"{_CLASSES}"
    ".dm-head{display:flex;flex-wrap:wrap;align-items:baseline;column-gap:10px;padding:2px 0}"
    ".dm-tools{margin-left:auto;display:flex;gap:2px}"
    ".dm-facts>*+*::before{content:'· ';opacity:.5}"
    ".dm-facts{display:flex;flex-wrap:wrap;column-gap:6px}"
    ".dm-pill{border-radius:9px;padding:0 7px;margin-right:4px;font-size:12px;white-space:nowrap}"
    + "".join(f".dm-pill.dm-{name}{{background:var(--dm-{name}-fill)}}" for name in TOKENS)
    + ".dm-bar{display:inline-block;height:8px;min-width:60px;width:100%;border-radius:4px;"
    "background:var(--dm-muted-fill);overflow:hidden;vertical-align:middle}"
    ".dm-bar>i{display:block;height:100%;border-radius:4px}"
    ".dm-link{color:var(--dm-info)}"
    ".dm.dm.dm code,.dm.dm.dm pre,.dm-mono{font-family:var(--dm-mono);font-size:12px;"
    "background:none;padding:0;margin:0;white-space:pre-wrap;color:inherit}"
    ".dm.dm.dm pre{margin:2px 0 6px;max-height:24em;overflow:auto}"
    ".dm.dm.dm table{border-collapse:collapse;width:100%;margin:2px 0;table-layout:auto;"
    "font-size:13px}"
    ".dm.dm.dm th,.dm.dm.dm td{text-align:left;vertical-align:baseline;padding:3px 14px 3px 0;"
    "border:0;white-space:normal;background:none}"
    ".dm.dm.dm th{color:var(--dm-muted);font-weight:400;font-size:12px}"
    ".dm.dm.dm tr{background:none;border-top:1px solid var(--dm-line)}"
    ".dm.dm.dm thead tr{border:0}.dm.dm.dm .dm-num{text-align:right;white-space:nowrap}"
    ".dm.dm.dm .dm-mark,.dm.dm.dm .dm-num{width:1px}"
    ".dm.dm.dm summary{cursor:pointer}.dm.dm.dm p{margin:2px 0}"
    ".dm.dm.dm svg text{font-family:inherit}"
    ".dm-in{padding-left:16px}"
    ".dm-lane{display:flex;margin:3px 0}.dm-lane>span{flex:0 0 92px}"
    ".dm-lane>div{position:relative;flex:1;height:22px;background:var(--dm-muted-fill)}"
    ".dm-lane i{position:absolute;top:0;height:100%;min-width:1px;overflow:hidden;"
    "color:var(--dm-on);box-sizing:border-box;border-right:1px solid var(--jp-layout-color0,#fff);"
    "font-style:normal;font-size:11px;line-height:22px;white-space:nowrap;text-indent:3px}"
    ".dm-axis>div{background:none;height:16px}.dm-axis i{color:var(--dm-muted);overflow:visible;"
    "border:0;line-height:16px;border-left:1px solid var(--dm-line)}"
    f"@container (max-width:{NARROW}px){{.dm.dm.dm .dm-rows thead{{display:none}}"
    ".dm.dm.dm .dm-rows tr{display:flex;flex-wrap:wrap;column-gap:12px;padding:3px 0}"
    ".dm.dm.dm .dm-rows td{padding:0;border:0;flex:0 1 auto}"
    ".dm.dm.dm .dm-rows td:empty{display:none}"
    ".dm.dm.dm .dm-lead{flex:1 0 100%}.dm.dm.dm .dm-mark~.dm-lead{flex:1 0 65%}}"
)
