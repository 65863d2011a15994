"""A command as `sh` is to read it: values of the notebook put in, everything else untouched."""

from __future__ import annotations

import re
import shlex

from dockmagic.magics.shell.scan import NAME, expression, single_end
from dockmagic.magics.shell.scope import Scope, as_text

_NAMES = re.compile(rf"\$\{{?#?({NAME})")


def render(text: str, scope: Scope) -> str:
    """`text` with each `{expression}` outside single quotes replaced by its value, quoted."""
    parts: list[str] = []
    at, is_quoted, in_template = 0, False, False
    while at < len(text):
        character = text[at]
        if text[at : at + 2] in ("{{", "}}"):
            in_template = character == "{"
            parts.append(text[at : at + 2])
            at += 2
            continue
        hit = None if in_template else expression(text, at)
        if hit is not None and text[at - 1 : at] != "$":
            value = as_text(scope.evaluate(hit.source), hit.source)
            parts.append(_in_double(value) if is_quoted else shlex.quote(value))
            at = hit.end
        elif character == "\\":
            is_brace = expression(text, at + 1) is not None
            parts.append("{" if is_brace else text[at : at + 2])
            at += 2
        elif character == "'" and not is_quoted:
            end = single_end(text, at)
            parts.append(text[at:end])
            at = end
        else:
            is_quoted ^= character == '"'
            parts.append(character)
            at += 1
    return "".join(parts)


def _in_double(value: str) -> str:
    return re.sub(r'(["\\$`])', r"\\\1", value)


def lent(text: str, scope: Scope) -> dict[str, str]:
    """The notebook's values that a text of shell names, for its environment.

    A name that the text sets itself (`for i in …`, `read i`, `i=1`) is the shell's. Raises
    InvalidInput for a value that is neither text nor a number.
    """
    names = set(_NAMES.findall(text)) - set(scope.variables)
    return {
        name: as_text(scope.namespace[name], name)
        for name in sorted(names & set(scope.namespace))
        if not _is_set_in(text, name)
    }


def _is_set_in(text: str, name: str) -> bool:
    pattern = rf"\bfor\s+{name}\b|\bread\b[^;|&\n]*\b{name}\b|(?<![\w$]){name}="
    return re.search(pattern, text) is not None
