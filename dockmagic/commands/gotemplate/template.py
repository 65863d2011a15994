"""Go's text/template: a text that is parsed once and rendered with any data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dockmagic.commands.gotemplate.errors import TemplateError
from dockmagic.commands.gotemplate.exec import Executor
from dockmagic.commands.gotemplate.functions import FUNCTIONS, HEADING_FUNCTIONS, Function
from dockmagic.commands.gotemplate.parser import parse
from dockmagic.commands.gotemplate.types import Context
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.suggest import did_you_mean

_FUNCTION = re.compile(r'function "(\w+)" not defined$')
_FIELD = re.compile(r'(?:has no entry for key "|can\'t evaluate field )(\w+)')


class Template:
    """A parsed template. `name` stands in its errors, as Go's do.

    Raises InvalidInput here and in `render`, with Go's text: name, line, column and the source of
    what could not be evaluated. `prefix` begins what is said of a text that cannot be parsed.
    """

    def __init__(
        self, text: str, name: str = "", *, prefix: str = "template parsing error: "
    ) -> None:
        self._text = text
        self._name = name
        try:
            self._templates = parse(text, name, FUNCTIONS)
        except TemplateError as error:
            match = _FUNCTION.search(str(error))
            hint = did_you_mean(match[1], FUNCTIONS) if match else ""
            raise InvalidInput(f"{prefix}{error}", hint=hint) from None
        except RecursionError:
            raise InvalidInput(f"{prefix}template: {name}:1: nested too deeply") from None

    def render(self, data: Any, *, strict: bool = False) -> str:
        """The text for `data`: a `GoStruct`, a `Context`, or what JSON has.

        `strict` makes the absent entry of a map an error (Go's option `missingkey=error`); else
        it prints as `<no value>`.
        """
        executor = self._executor(FUNCTIONS, strict=strict)
        try:
            return executor.run(data)
        except TemplateError as error:
            raise InvalidInput(str(error), hint=_hint(str(error), data)) from None
        except RecursionError:
            raise InvalidInput(f"template: {self._name}: exceeded maximum template depth") from None

    def render_heading(self, headings: Mapping[str, Any]) -> str:
        """The text for a table's headings, which functions leave as they are."""
        executor = self._executor(HEADING_FUNCTIONS)
        with suppress(TemplateError):  # Docker shows as much of it as there is
            executor.run(Context(headings, "formatter.SubHeaderContext"))
        return "".join(executor.out)

    def _executor(self, functions: Mapping[str, Function], *, strict: bool = False) -> Executor:
        return Executor(self._text, self._name, self._templates, functions, strict=strict)


def _hint(text: str, data: Any) -> str:
    match = _FIELD.search(text)
    if match is None:
        return ""
    if isinstance(data, Context):
        data = data.fields
    known = data if isinstance(data, Mapping) else getattr(data, "__struct_fields__", ())
    return did_you_mean(match[1], map(str, known), prefix=".")
