"""The texts of `--help`, laid out as Docker's client lays them out (Go's cobra and pflag)."""

from __future__ import annotations

import sys

from dockmagic.commands.global_table import GLOBAL_OPTIONS
from dockmagic.commands.line import PLANNED
from dockmagic.commands.verbs import (
    COMMON,
    GROUP_DESCRIPTIONS,
    GROUP_SUMMARIES,
    GROUPS,
    VERBS,
    aliases,
    first_names,
    is_own,
    summary_of,
)

TYPE_CHECKING = False  # help on all commands is shown before anything heavy is imported
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dockmagic.commands.global_table import GlobalOption
    from dockmagic.commands.options.flags import Flag, Parser

_BLOCK, _NARROWEST, _SLOP = 16, 24, 5  # as in pflag's `wrap`


def verb_help(parser: Parser) -> str:
    """`docker VERB --help`."""
    lines = [f"Usage:  {parser.usage_line}", "", parser.summary]
    if parser.also:
        lines += ["", parser.also]
    names = aliases(parser.verb.replace(" ", "_"))
    if len(names) > 1:
        lines += ["", "Aliases:", f"  {', '.join(f'docker {name}' for name in names)}"]
    shown = [flag for flag in parser.flags if flag.is_shown]
    for heading, flags in (
        ("Options:", [flag for flag in shown if not flag.own]),
        ("Options of dockmagic:", [flag for flag in shown if flag.own]),
    ):
        lines += ["", heading, *flag_lines(flags)] if flags else []
    lines += _absent("Docker's, not supported yet:", [f for f in parser.flags if f.planned])
    lines += _absent("Docker's, not available here:", [f for f in parser.flags if f.unsupported])
    return "\n".join(lines)


def _absent(heading: str, flags: Iterable[Flag]) -> list[str]:
    names = sorted(flag.name for flag in flags)
    return ["", heading, *_filled(names)] if names else []


def _filled(names: Sequence[str], width: int = 78) -> list[str]:
    lines = [" "]
    for name in names:
        piece = f" --{name}"
        if len(lines[-1]) + len(piece) > width:
            lines.append(" ")
        lines[-1] += piece
    return lines


def flag_lines(flags: Sequence[Flag | GlobalOption], columns: int | None = None) -> list[str]:
    """One flag a line, by name; descriptions are wrapped beside their column."""
    columns = terminal_columns() if columns is None else columns
    left = {flag.name: _left(flag) for flag in flags}
    width = max(map(len, left.values()))
    lines: list[str] = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        text = wrapped(_description(flag), width + 3, columns - 1)
        lines += f"{left[flag.name]:<{width}}   {text}".split("\n")
    return lines


def _left(flag: Flag | GlobalOption) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"  {short}--{flag.name} {flag.type}".rstrip()


def _description(flag: Flag | GlobalOption) -> str:
    return f"{flag.help} (default {flag.default_shown})" if flag.default_shown else flag.help


def terminal_columns() -> int:
    """The width of the terminal; 80 where there is none, as in Docker's client."""
    if not sys.stdin or not sys.stdin.isatty():
        return 80
    import shutil  # costs 3 ms

    return shutil.get_terminal_size().columns


def wrapped(text: str, indent: int, columns: int) -> str:
    """`text` in lines that end before `columns`, all but the first indented: pflag's `wrap`."""
    width, parts = columns - indent, []
    if width < _NARROWEST:
        indent, width, parts = _BLOCK, columns - _BLOCK, [""]
    margin = "\n" + " " * indent
    if width < _NARROWEST:
        return margin.join([*parts, *text.split("\n")])
    while True:
        line, text = _first_line(text, width - _SLOP)
        parts.append(line.replace("\n", margin))
        if not text:
            return margin.join(parts)


def _first_line(text: str, width: int) -> tuple[str, str]:
    """The first line, at a blank; a few characters more if that is all there is."""
    if width + _SLOP > len(text):
        return text, ""
    blank = max(text.rfind(character, 0, width) for character in " \t\n")
    if blank <= 0:
        return text, ""
    newline = text.rfind("\n", 0, width)
    end = newline if 0 < newline < blank else blank
    return text[:end], text[end + 1 :]


def help_text() -> str:
    """`docker --help`."""
    commands = {verb.name: verb.summary for verb in VERBS if not verb.hidden}
    common = {name: commands.pop(name) for name in COMMON}
    own = {verb.name: commands.pop(verb.name) for verb in VERBS if verb.own}
    return "\n".join(
        [
            "Usage:  docker [OPTIONS] COMMAND",
            "",
            "A self-sufficient runtime for containers",
            "",
            "Common Commands:",
            *_listed(common, in_order=True),
            "",
            "Management Commands:",
            *_listed({name: GROUP_SUMMARIES[name] for name in GROUPS}),
            "",
            "Commands:",
            *_listed(commands),
            "",
            "Commands of dockmagic:",
            *_listed(own),
            "",
            "Global Options:",
            *flag_lines(GLOBAL_OPTIONS),
            "",
            f"Docker's, not supported yet: {', '.join(PLANNED)}",
            "",
            "Run 'docker COMMAND --help' for more information on a command.",
        ]
    )


def group_help(group: str) -> str:
    """`docker GROUP --help`: each verb once; `list` and `remove` are understood as well."""
    first = first_names(group)
    own = {name: summary_of(verb) for verb, name in first.items() if is_own(verb)}
    dockers = {name: summary_of(verb) for verb, name in first.items() if not is_own(verb)}
    lines = [
        f"Usage:  docker {group} COMMAND",
        "",
        GROUP_DESCRIPTIONS.get(group, GROUP_SUMMARIES[group]),
        "",
        "Commands:",
        *_listed(dockers),
    ]
    lines += ["", "Commands of dockmagic:", *_listed(own)] if own else []
    return "\n".join(
        [*lines, "", f"Run 'docker {group} COMMAND --help' for more information on a command."]
    )


def _listed(summaries: Mapping[str, str], *, in_order: bool = False) -> list[str]:
    items = summaries.items() if in_order else sorted(summaries.items())
    return [f"  {name:<11} {summary}" for name, summary in items]
