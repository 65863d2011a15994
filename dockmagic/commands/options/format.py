"""`--format`: the flag of the verbs that list things, and of those that inspect one."""

from __future__ import annotations

from dockmagic.commands.options.flags import Flag, value

_TEMPLATES = """\
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with \
templates"""
LIST_FORMAT: Flag = value(
    "format",
    help=f"""\
Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
{_TEMPLATES}""",
)
INSPECT_FORMAT: Flag = value("format", "f", f"Format output using a custom template:\n{_TEMPLATES}")
