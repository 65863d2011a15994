"""What names in a line stand for: shell variables, values of the notebook, the environment."""

from __future__ import annotations

import builtins
import numbers
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from dockmagic.magics.shell.scan import NAME
from dockmagic_runtime.errors import InvalidInput

Substitute = Callable[[str], str]


def _no_substitution(command: str) -> str:
    raise InvalidInput(f"$({command}) cannot be expanded here")


class Scope(Struct):
    """The names of a line. `variables` are those that a line has set itself, as `X=1` does.

    `substitute` gives the output of a command in `$( )`; `status` is what `$?` stands for.
    """

    namespace: Mapping[str, Any] = {}
    substitute: Substitute = _no_substitution
    variables: dict[str, str] = field(default_factory=dict)
    status: int = 0
    unset: set[str] = field(default_factory=set)  # names that stood for nothing

    def lookup(self, name: str) -> str | None:
        """The text of a variable; None if it is not set.

        Raises InvalidInput for a value of the notebook that is neither text nor a number.
        """
        if name in self.variables:
            return self.variables[name]
        if name in self.namespace:
            return as_text(self.namespace[name], name)
        return os.getcwd() if name == "PWD" else os.environ.get(name)

    def is_text(self, name: str) -> bool:
        """Whether `lookup` has a text for it."""
        if name not in self.variables and name in self.namespace:
            return _text(self.namespace[name]) is not None
        return self.lookup(name) is not None

    def special(self, name: str) -> str:
        """`$?`, `$$` and their like; a cell has no arguments, so `$1` is empty."""
        values = {"?": str(self.status), "$": str(os.getpid()), "#": "0", "0": "sh"}
        return values.get(name, "")

    def evaluate(self, source: str) -> Any:
        """The value of a Python expression. Raises InvalidInput with Python's reason."""
        try:
            return eval(source, {"__builtins__": _builtins(source)}, dict(self.namespace))
        except NameError as error:
            name = getattr(error, "name", "") or source
            raise InvalidInput(
                f"the notebook has no variable '{name}'",
                hint=f"in {{{source}}}; write \\{{ for a brace that is meant literally, "
                "or put it in single quotes",
            ) from None
        except Exception as error:
            raise InvalidInput(f"{{{source}}}: {type(error).__name__}: {error}") from error


def _builtins(source: str) -> dict[str, Any]:
    """A call may use Python's functions; a bare name is one of the notebook's or a mistake."""
    return {} if re.fullmatch(NAME, source) else vars(builtins)


def as_text(value: Any, source: str) -> str:
    """The text of a value of the notebook. Raises InvalidInput for one that has none."""
    text = _text(value)
    if text is not None:
        return text
    kind = type(value).__name__
    raise InvalidInput(
        f"'{source}' is a {kind}: only text and numbers can be put into a line",
        hint=_hint(value, source),
    )


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Number):
        return str(value)
    path = os.fspath(value) if isinstance(value, os.PathLike) else None
    return path if isinstance(path, str) else None


def _hint(value: Any, source: str) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"{{{source}}} that stands alone is one word for each item"
    if isinstance(getattr(value, "name", None), str):
        return f"write {{{source}.name}}"
    return f"write {{…}} with an expression that is text, or \\${source} for the shell's own"
