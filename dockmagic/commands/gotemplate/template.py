"""Go's text/template, as Docker's `--format` uses it.

Stages, each a pure function of the one before: text to pieces and words (`lexer`), words to nodes
(`parser`), nodes and data to text (`execute`).
"""

from __future__ import annotations

from typing import Any

from dockmagic.commands.gotemplate.execute import Execution
from dockmagic.commands.gotemplate.lexer import Source
from dockmagic.commands.gotemplate.parser import parse
from dockmagic_runtime.errors import InvalidInput


class Template:
    """A parsed template. `name` stands in its errors, as Go's do.

    Raises InvalidInput, in Go's words, here and in `render`.
    """

    def __init__(self, text: str, name: str = "") -> None:
        self._source = Source(text, name)
        self._nodes, self._templates = parse(self._source)

    def render(self, data: Any, *, strict: bool = False) -> str:
        """The text for `data`: a GoStruct, a Context, or decoded JSON.

        `strict` makes the absent entry of a map an error (Go's `missingkey=error`); else it
        prints as `<no value>`.
        """
        execution = Execution(
            self._source, self._templates, strict, [{"$": data}], name=self._source.name
        )
        try:
            execution.nodes(self._nodes, data)
        except RecursionError:
            raise InvalidInput("template: nested too deeply") from None
        return "".join(execution.out)
